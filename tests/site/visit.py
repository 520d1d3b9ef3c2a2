"""A page opened with the network cut, and what went wrong while it was open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, Route

from .conftest import ServedSite


@contextmanager
def opened(
    browser: Browser, site: ServedSite, name: str, **context: object
) -> Iterator[tuple[Page, list[str]]]:
    """A page with the network cut, and what went wrong while it was open."""
    wrong: list[str] = []

    def is_wrong(kind: str, what: str) -> None:
        wrong.append(f"{kind}: {what}")

    def only_the_site(route: Route) -> None:
        if route.request.url.startswith((site.address, "data:", "blob:")):
            route.continue_()
        else:
            is_wrong("foreign request", route.request.url)
            route.abort()

    tab = browser.new_context(viewport={"width": 1280, "height": 900}, **context)
    page = tab.new_page()
    page.route("**/*", only_the_site)
    page.on("console", lambda said: said.type == "error" and is_wrong("console", said.text))
    page.on("pageerror", lambda error: is_wrong("script", str(error)))
    page.on("requestfailed", lambda request: is_wrong("failed", request.url))
    page.on("response", lambda reply: reply.status >= 400 and is_wrong(str(reply.status), reply.url))
    page.goto(site.address + name, wait_until="load")
    yield page, wrong
    tab.close()
