"""What the runs on record in results/ took, by chapter, and what they cost at a price an hour: a Markdown table.

    python ci/costs.py                                   the full profile: hours
    python ci/costs.py --profile quick --cpu-hour 0.10   and money, at your machine's price

An hour is one of the whole run: a run on a GPU holds it from start to end.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from kexue.press.project import PressError
from kexue.press.results.record import Provenance, read_record

ROOT = Path(__file__).parents[1]


class Cost(TypedDict):
    """What a chapter's runs took: hours by device class, memory in GiB, money where prices are said."""

    chapter: str
    runs: int
    cuda: float
    cpu: float
    memory: float
    gpu_memory: float
    machine: str
    money: float | None


def cost(chapter: str, runs: Sequence[Provenance], prices: dict[str, float | None]) -> Cost:
    """A chapter's runs on record, summed.

    Args:
        chapter: its name.
        runs: their provenances.
        prices: of an hour by device class, "cpu" and "cuda"; None: not said.
    """
    hours = {"cpu": 0.0, "cuda": 0.0}
    for run in runs:
        hours[run["device"].split(":")[0]] += run["seconds"] / 3600
    unknown = any(hours[device] and prices[device] is None for device in hours)
    machines = {run["host"]["gpu"] if run["device"] != "cpu" else run["host"]["cpu"] for run in runs}
    return {
        "chapter": chapter,
        "runs": len(runs),
        "cuda": hours["cuda"],
        "cpu": hours["cpu"],
        "memory": max(run["peak_rss_mb"] for run in runs) / 1024,
        "gpu_memory": max(run["peak_gpu_mb"] for run in runs) / 1024,
        "machine": ", ".join(sorted(str(machine) for machine in machines)),
        "money": None if unknown else sum(hours[device] * (prices[device] or 0.0) for device in hours),
    }


def total(costs: Sequence[Cost]) -> Cost:
    """Their sum."""
    money = [entry["money"] for entry in costs if entry["money"] is not None]
    return {
        "chapter": "**all**",
        "runs": sum(entry["runs"] for entry in costs),
        "cuda": sum(entry["cuda"] for entry in costs),
        "cpu": sum(entry["cpu"] for entry in costs),
        "memory": 0.0,
        "gpu_memory": 0.0,
        "machine": "",
        "money": sum(money) if len(money) == len(costs) else None,
    }


def table(costs: Sequence[Cost]) -> str:
    """The costs as Markdown, the dearest chapter first, with their sum."""
    whole = total(costs)
    head = ["chapter", "runs", "GPU hours", "CPU hours", "peak memory", "peak GPU memory", "measured on"]
    lines = [head + (["cost"] if whole["money"] is not None else [])]
    lines.append(["---"] * len(lines[0]))
    for entry in [*sorted(costs, key=lambda entry: (-entry["cuda"], -entry["cpu"])), whole]:
        cells = [entry["chapter"], str(entry["runs"]), f"{entry['cuda']:.3f}", f"{entry['cpu']:.3f}"]
        cells += [f"{amount:.1f} GiB" if amount else "" for amount in (entry["memory"], entry["gpu_memory"])]
        money = [f"{entry['money'] or 0:.2f}"] if whole["money"] is not None else []
        lines.append([*cells, entry["machine"], *money])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", default="full", choices=("smoke", "quick", "full"))
    parser.add_argument("--book", type=Path, default=ROOT, help="the folder with results/")
    parser.add_argument("--gpu-hour", type=float, help="price of an hour on the GPU machine, any currency")
    parser.add_argument("--cpu-hour", type=float, help="price of an hour on the machine without one")
    arguments = parser.parse_args()
    prices = {"cuda": arguments.gpu_hour, "cpu": arguments.cpu_hour}
    costs = []
    for path in sorted((arguments.book / "results").glob("*.json")):
        try:
            record = read_record(arguments.book, path.relative_to(arguments.book)).get(arguments.profile)
        except PressError as error:
            sys.exit(f"costs: {error}")
        if record and record["provenance"]:
            costs.append(cost(path.stem, record["provenance"], prices))
    if not costs:
        sys.exit(f"nothing is on record at profile {arguments.profile}: see kexue freeze")
    sys.stdout.write(table(costs))


if __name__ == "__main__":
    main()
