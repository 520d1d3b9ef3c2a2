"""A tiny book for each test."""

from pathlib import Path

import pytest

from tests.press.tiny_book import TinyBook


@pytest.fixture
def book(tmp_path: Path) -> TinyBook:
    """An empty tiny book."""
    return TinyBook(tmp_path / "book-root")
