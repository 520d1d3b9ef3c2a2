"""Docstrings as the library's pages read them: Google's style by griffe, formulas between double dollars."""

import re
from pathlib import Path

import griffe
import pytest

import kexue

LIBRARY = Path(kexue.__file__).parent
NOT_THE_LIBRARY = {"press", "cli"}
FORMULA = re.compile(r"\$\$.+?\$\$", re.DOTALL)


def files():
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.relative_to(LIBRARY).parts[0] not in NOT_THE_LIBRARY:
            yield path


def documented(found):
    """Everything in a module that has a docstring."""
    if found.docstring is not None:
        yield found
    for member in found.members.values():
        if not member.is_alias and (member.is_function or member.is_class or "property" in member.labels):
            yield from documented(member)


def faults(found):
    text = found.docstring.value
    left = FORMULA.sub("", text)
    if "$" in left:
        yield "a dollar outside a formula $$…$$, which is shown as it stands"
    for section in griffe.parse_google(found.docstring, warnings=False):
        kind = section.kind.value
        if kind in ("returns", "yields") and len(section.value) > 1:
            yield f"{kind} as a list of {len(section.value)}: indent what goes on in the next line"
        if kind in ("parameters", "attributes"):
            for item in section.value:
                if not re.fullmatch(r"\*{0,2}\w+", item.name):
                    yield f"an argument called {item.name!r}: indent what goes on in the next line"
        if kind == "raises":
            for item in section.value:
                if not re.fullmatch(r"\(?[\w.]+(, [\w.]+)*\)?", str(item.annotation or "")):
                    yield f"an error called {item.annotation!s}: indent what goes on in the next line"


@pytest.mark.parametrize("path", list(files()), ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_docstrings_are_read_as_they_are_meant(path):
    module = griffe.visit(path.stem, filepath=path, code=path.read_text(encoding="utf-8"))
    said = [
        f"line {found.lineno}: {found.name}: {fault}"
        for found in documented(module)
        for fault in faults(found)
    ]
    assert not said, f"{path.relative_to(LIBRARY)}\n" + "\n".join(said)
