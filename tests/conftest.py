"""Every annotated shape and dtype of the library is checked while the tests run."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import jaxtyping
import pytest
from jaxtyping import install_import_hook

from tests import shapes

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.pop(
    "VIRTUAL_ENV", None
)  # another environment's, maybe: IPython warns, and the interpreter that runs decides

# how long an example takes is the machine's affair (the first one loads torch's kernels, or waits for a processor);
# and the same examples every time: what fails is what a change broke, never what chance found
hypothesis.settings.register_profile(
    "kexue", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("kexue")

install_import_hook("kexue", f"{shapes.__name__}.checked")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.browser import launch

    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def as_a_user() -> Iterator[None]:
    """Turn the checking of annotations off, so that a bad argument meets the library's own error."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
