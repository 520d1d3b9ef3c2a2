"""The book's look as Sphinx meets it: titles in two languages, what each page loads, the buttons at its top."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.search import languages

from kexue.press.sphinx_ext import lean, menu, policy
from kexue.press.sphinx_ext import math as formulas
from kexue.press.sphinx_ext.chart import shapes
from kexue.press.sphinx_ext.directives import CHINESE, ENGLISH
from kexue.press.sphinx_ext.staged import Site

if TYPE_CHECKING:
    from sphinx.config import Config
    from sphinx.environment import BuildEnvironment

_HERE = Path(__file__).parent
_SITE_MAP = "http://www.sitemaps.org/schemas/sitemap/0.9"


def _configure(app: Sphinx, config: Config) -> None:
    config.templates_path = [str(_HERE / "templates"), *config.templates_path]  # before the theme's own
    config.html_static_path = [*config.html_static_path, str(_HERE / "assets"), "_kexue/static"]
    config.html_search_language = "kexue"
    options = config.html_theme_options
    if not options.get("repository_url"):
        options.pop("launch_buttons", None)  # nothing is published that they could open


def _name_in_both_languages(app: Sphinx, doctree: nodes.document) -> None:
    """Give a chapter's title its Chinese; menus, neighbours and the search take theirs from it."""
    chapter = Site(app, app.env.docname).chapter
    title = next(iter(doctree.findall(nodes.title)), None)
    if chapter is None or title is None or not chapter["title_zh"]:
        return
    english = nodes.inline("", "", *[child.deepcopy() for child in title.children], classes=ENGLISH)
    chinese = nodes.inline("", chapter["title_zh"], classes=CHINESE)
    title.children = []
    title += [english, nodes.Text(" "), chinese]


def _number_figures_by_page(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Count each page's figures from one: a chapter is read by itself, and its first figure is no "Fig. 24"."""
    for kinds in env.toc_fignumbers.values():
        for numbers in kinds.values():
            numbers.update({name: (number,) for number, name in enumerate(numbers, start=1)})
    return []


def _draw_the_marks_once(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give a page that shows verdicts the shapes that its marks point to."""
    if 'class="kx-mark"' in context.get("body", ""):
        context["body"] = shapes() + context["body"]


def _load_only_what_the_page_needs(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Keep the style of formulas off pages without one."""
    if 'class="katex' not in context.get("body", ""):
        context["css_files"] = [
            css for css in context.get("css_files", ()) if "katex" not in str(getattr(css, "filename", css))
        ]


def _offer_downloads(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """The chapter as notebook and as text, in the bar at the top of its page; nothing to open where nothing was run."""
    chapter = Site(app, page).chapter
    if chapter is None:
        return
    beside = context.get("header_buttons", ())
    if not chapter["runs"]:
        beside = [button for button in beside if button.get("label") != "launch-buttons"]
    name = page.rsplit("/", 1)[-1]
    links = [(f"{name}.ipynb", ".ipynb", "The executed notebook"), (f"{name}.md", ".md", "The text")]
    buttons = [
        {"type": "link", "url": url, "text": text, "tooltip": tip, "icon": "fas fa-file"}
        for url, text, tip in links
        if text == ".md" or chapter["runs"]
    ]
    group = {
        "type": "group",
        "tooltip": "Download",
        "icon": "fas fa-download",
        "buttons": buttons,
        "label": "kx",
    }
    context["header_buttons"] = [group, *beside]


def _make_known(app: Sphinx) -> None:
    """Tell machines that ask of the site's pages, their titles and first words; only a site with an address has any."""
    if not app.config.html_baseurl:
        return
    app.setup_extension("sphinx_sitemap")
    app.setup_extension("sphinxext.opengraph")
    own: dict[str, Any] = {
        "sitemap_url_scheme": "{link}",  # one language a site, and one version
        "sitemap_excludes": ["search.html", "genindex.html", "index.html"],
        "ogp_site_url": app.config.html_baseurl,
        "ogp_site_name": app.config.html_title or app.config.project,
        "ogp_social_cards": {"enable": False},  # their text cannot be drawn: formulas, Chinese
        "ogp_enable_meta_description": True,
    }
    for name, value in own.items():
        app.config[name] = value


def _describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """A chapter's one sentence, for whoever shows a link to its page; the first words of it would be its links."""
    chapter = Site(app, page).chapter
    if chapter is not None and app.config.html_baseurl:
        context["meta"] = {**(context.get("meta") or {}), "og:description": chapter["summary"]}


def _site_map_in_order(app: Sphinx, failure: Exception | None) -> None:
    """The addresses in one order, whatever process wrote its page first."""
    path = Path(app.outdir) / "sitemap.xml"
    if failure is not None or not path.is_file():
        return
    ElementTree.register_namespace("", _SITE_MAP)
    tree = ElementTree.parse(path)
    root = tree.getroot()
    root[:] = sorted(root, key=lambda entry: "".join(entry.itertext()))
    tree.write(path, encoding="utf-8", xml_declaration=True)


def setup(app: Sphinx) -> None:
    """Register it all."""
    languages["kexue"] = "kexue.press.sphinx_ext.search.EnglishAndChinese"
    formulas.setup(app)
    for part in (lean, menu, policy):
        part.setup(app)
    _make_known(app)
    app.add_css_file("katex/katex.min.css")
    app.add_css_file("kexue-words.css")
    app.connect("config-inited", _configure)
    app.connect("doctree-read", _name_in_both_languages, priority=400)  # before Sphinx collects titles
    app.connect("env-get-updated", _number_figures_by_page, priority=900)  # after Sphinx has counted
    app.connect("html-page-context", _describe, priority=400)  # before the tags are made
    app.connect("html-page-context", _load_only_what_the_page_needs, priority=900)
    app.connect("html-page-context", _draw_the_marks_once, priority=900)
    app.connect("html-page-context", _offer_downloads, priority=900)
    app.connect("build-finished", _site_map_in_order, priority=900)
