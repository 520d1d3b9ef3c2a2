"""The key of a run: the same under every Python, and it covers what the run imports, no more."""

import ast
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import kexue
from kexue.press.sources.chapter import Chapter
from kexue.press.store import syntax, versions
from kexue.press.store.fingerprint import Fingerprint, differences, fingerprint
from kexue.press.store.syntax import canonical, without_docstrings

CODE = '''
"""A module."""
from __future__ import annotations
import os as system


class Empty(dict[str, int]):
    """A class."""


async def f(a, /, b: int = 0x1F, *c, d=None, **e) -> None:
    """A function."""
    async with a as b, c:
        yield {**e, "é\\U0001fae8": (1.5e300, -0.0, 2j, b"x", ..., True, None)}
    return


@property
def g(): return [x async for x in y if x] or (lambda: (u"kind", f"{a!r:>{w}} {b=}"))


match x:
    case {"a": 1, **rest} | [1, *_] if rest: pass
    case None: pass
try: pass
except* ValueError as error: raise RuntimeError from error
'''


def texts() -> list[str]:
    """Code of every sort: the sample, and the whole library."""
    return [CODE, *(path.read_text() for path in sorted(Path(kexue.__file__).parent.rglob("*.py")))]


@cache
def digest_all() -> str:
    return "\n".join(canonical(without_docstrings(ast.parse(text))) for text in texts())


def others() -> list[str]:
    """The interpreters of this machine that the library runs on, the one at hand among them."""
    found = {sys.executable}
    for minor in (11, 12, 13):
        found |= {str(path) for path in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}")}
        found |= {path} if (path := shutil.which(f"python3.{minor}")) else set()
    asked = {path: subprocess.run([path, "-I", "-c", ""], capture_output=True).returncode for path in found}
    return sorted(path for path, code in asked.items() if code == 0)


@pytest.mark.parametrize("python", others())
def test_every_python_says_the_same_of_the_same_code(python: str, tmp_path: Path):
    (tmp_path / "code").mkdir()
    for number, text in enumerate(texts()):
        (tmp_path / "code" / f"{number:04}.py").write_text(text)
    script = f"""
import ast, runpy, warnings
from pathlib import Path
warnings.simplefilter("ignore")
syntax = runpy.run_path({syntax.__file__!r})
for path in sorted(Path({str(tmp_path / "code")!r}).iterdir()):
    print(syntax["canonical"](syntax["without_docstrings"](ast.parse(path.read_text(encoding="utf-8")))))
"""
    said = subprocess.run(
        [python, "-I", "-c", script], env={**os.environ}, capture_output=True, text=True, encoding="utf-8"
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == digest_all().splitlines()


def as_312(tree: ast.AST) -> ast.AST:
    """The tree as Python 3.12 makes it: `type_params` on functions and classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node._fields = (*(name for name in node._fields if name != "type_params"), "type_params")
            node.type_params = []
    return tree


def as_313(tree: ast.AST) -> ast.AST:
    """The tree as others may make it: an empty list or None may as well not be there."""
    for node in as_312(tree) and ast.walk(tree):
        for name in node._fields:
            value = getattr(node, name, None)
            if not isinstance(node, ast.Constant) and (value is None or value == []) and hasattr(node, name):
                node._fields = tuple(field for field in node._fields if field != name)
    return tree


@pytest.mark.parametrize("altered", [as_312, as_313])
def test_a_tree_as_another_python_makes_it_says_the_same(altered):
    for text in texts()[::10]:
        assert canonical(altered(ast.parse(text))) == canonical(ast.parse(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = None", "x = 0"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = 0.0", "x = -0.0"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("def f(*, a, b=1): pass", "def f(*, b=1, a): pass"),
        ("{**a}", "{a: None}"),
        ("x: int", "x: int = None"),
        ("raise a from b", "raise b from a"),
        ("a < b", "b < a"),
        ("def f(): return", "def f(): return None"),
        ("f'{a}'", "f'{a!s}'"),
    ],
)
def test_what_computes_otherwise_says_otherwise(one: str, other: str):
    assert canonical(ast.parse(one)) != canonical(ast.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = u'a'", "x = 'a'"),
        ("f(a,\n  b)", "f(a, b) # note"),
        ("x = 0x10", "x = 16"),
        ("x = 'a' 'b'", "x = 'ab'"),
    ],
)
def test_what_computes_alike_says_alike(one: str, other: str):
    assert canonical(ast.parse(one)) == canonical(ast.parse(other))


def test_an_integer_of_many_digits_has_a_digest():
    assert canonical(ast.parse(f"x = 0x{'f' * 5000}"))


def chapter_of(book, body: str) -> Chapter:
    return Chapter(book.root, book.write("one", body=body))


def of(chapter: Chapter) -> Fingerprint:
    return fingerprint(chapter, profile="quick", seed=0, device="cpu")


def test_a_package_is_of_the_key_of_those_that_import_it(book, monkeypatch):
    cells = {
        "plain": "x = 1",
        "transport": "def f():\n    import ot",
        "tables": "from pandas import DataFrame",
    }
    chapters = {name: Chapter(book.root, book.write(name, body=body)) for name, body in cells.items()}
    before = {name: of(chapter) for name, chapter in chapters.items()}
    assert set(before["plain"].versions) == {"python"}
    assert set(before["transport"].versions) == {"python", "POT"}
    assert set(before["tables"].versions) == {"python", "pandas"}
    version = versions._version.__wrapped__
    monkeypatch.setattr(versions, "_version", lambda name: "99" if name == "POT" else version(name))
    after = {name: of(chapter) for name, chapter in chapters.items()}
    assert [name for name in cells if before[name].key != after[name].key] == ["transport"]
    (told,) = differences(chapters["transport"], before["transport"], after["transport"])
    assert told.startswith("version of POT changed: ")


def test_imports_for_types_alone_and_of_what_decides_no_number_do_not_count():
    tree = ast.parse(
        "import os, kexue.data, matplotlib.pyplot\nfrom typing import TYPE_CHECKING\nfrom . import here\n"
        "if TYPE_CHECKING:\n    import torch\nelse:\n    import numpy\nimport sklearn.linear_model"
    )
    assert versions.third_party(tree) == {"numpy", "sklearn"}
    assert list(versions.versions(["sklearn", "no_such_package"])) == [
        "python",
        "no_such_package",
        "scikit-learn",
    ]


def test_a_chapter_is_compared_with_the_run_that_is_nearest(book):
    chapter = chapter_of(book, "x = 1")
    now = of(chapter)
    far = Fingerprint.from_record({**now.record(), "cells": ["a", "b"], "modules": {}})
    near = Fingerprint.from_record({**now.record(), "device": "cuda"})
    old = Fingerprint.from_record({k: v for k, v in now.record().items() if k != "scheme"})
    assert [now.distance(other) for other in (now, near)] == [0, 1]
    assert min((far, old, near), key=now.distance) is near
    assert differences(chapter, old, now) == [
        "the stored run is of an older press, whose digests say nothing of what changed"
    ]


@pytest.mark.parametrize("record", [{}, {"cells": 3}, {"cells": [], "odd": 1}])
def test_a_fingerprint_of_another_shape_is_refused_in_words(record):
    with pytest.raises(ValueError, match="a fingerprint must hold cells, modules"):
        Fingerprint.from_record(record)
