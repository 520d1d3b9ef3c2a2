"""Where the browser is that the pages are looked at with."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium: the system's, else the one `playwright install chromium` has brought.

    Without one the test is skipped, for pip alone cannot bring a browser; in CI it fails.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    system = next(filter(None, map(shutil.which, names)), None)
    executable = system or playwright.chromium.executable_path
    if not Path(executable).exists():
        message = "no chromium: install the system's package, or run `playwright install chromium`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
