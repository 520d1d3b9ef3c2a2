"""The source of a library object is read as text, never by importing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kexue.press.site.excerpt import excerpt

MODULE = '''"""A module."""

import does_not_exist_anywhere

LIMIT = 3
SCALE: float = 2.0


def double(x):
    """Twice x."""
    return 2 * x


class Box:
    """A box."""

    @property
    @does_not_exist_anywhere.mark
    def width(self):
        return LIMIT
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    package = tmp_path / "src" / "toy"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from toy.deep.shapes import double as twice\n", encoding="utf-8")
    (package / "deep" / "__init__.py").write_text("", encoding="utf-8")
    (package / "deep" / "shapes.py").write_text(MODULE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("dotted", "line", "begins"),
    [
        ("toy.deep.shapes.double", 9, 'def double(x):\n    """Twice x."""'),
        ("toy.deep.shapes.Box", 14, "class Box:"),
        (
            "toy.deep.shapes.Box.width",
            17,
            "@property\n@does_not_exist_anywhere.mark\ndef width(self):\n    return",
        ),
        ("toy.deep.shapes.LIMIT", 5, "LIMIT = 3"),
        ("toy.deep.shapes.SCALE", 6, "SCALE: float = 2.0"),
        ("toy.deep.shapes", 1, '"""A module."""'),
        ("toy.twice", 9, "def double(x):"),
    ],
)
def test_an_object_is_found_with_its_line(root: Path, dotted: str, line: int, begins: str) -> None:
    found = excerpt(root, dotted)
    assert found is not None
    assert found["path"] == "src/toy/deep/shapes.py"
    assert found["line"] == line
    assert found["source"].startswith(begins)


@pytest.mark.parametrize(
    "dotted", ["toy.deep.shapes.gone", "toy.deep.shapes.double.inner", "elsewhere.f", "toy.gone"]
)
def test_what_is_not_there_is_none(root: Path, dotted: str) -> None:
    assert excerpt(root, dotted) is None
