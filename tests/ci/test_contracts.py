"""The rules of who may import whom cover every package there is, and the press stays low."""

from functools import cache

import grimp
import pytest

from ci.contracts import LIBRARY, PRESS, ROOMS, contracts, shared, subjects

MOST_FLOORS = 5


def test_every_package_of_the_library_has_its_part_in_the_rules():
    found = subjects(LIBRARY)
    assert {"kexue.leaderboard", "kexue.transport", "kexue.density"} <= set(found)
    named = {
        name for contract in contracts(found, shared(LIBRARY)) for key in contract for name in contract[key]
    }
    there = {f"kexue.{path.parent.name}" for path in LIBRARY.glob("*/__init__.py")}
    assert there <= named


@pytest.mark.parametrize(
    "room", [*(r for layer in ROOMS for r in layer.split(" | ") if r != "project"), "sphinx_ext"]
)
def test_a_room_of_the_press_has_few_floors(room: str):
    graph = grimp.build_graph("kexue", cache_dir=None, exclude_type_checking_imports=True)
    inside = {name for name in graph.modules if name.startswith(f"{PRESS}.{room}.")}

    @cache
    def height(module: str) -> int:
        below = graph.find_modules_directly_imported_by(module) & inside
        return 1 + max(map(height, below), default=0)

    assert inside
    assert max(map(height, inside)) <= MOST_FLOORS
