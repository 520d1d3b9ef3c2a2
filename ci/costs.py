"""What the runs on record in results/ took, by chapter, and what they cost at a price an hour: a Markdown table.

    python ci/costs.py                                   the full profile: hours
    python ci/costs.py --profile quick --cpu-hour 0.10   and money, at your machine's price

Nothing but the standard library is needed. An hour is one of the whole run: a run on a GPU holds it from start to end.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def cost(chapter: str, runs: list[dict[str, Any]], prices: dict[str, float | None]) -> dict[str, Any]:
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
        "gpu_memory": max(run.get("peak_gpu_mb") or 0 for run in runs) / 1024,
        "machine": ", ".join(sorted(str(machine) for machine in machines)),
        "money": None if unknown else sum(hours[device] * (prices[device] or 0.0) for device in hours),
    }


def table(costs: list[dict[str, Any]]) -> str:
    """The costs as Markdown, the dearest chapter first, with their sum."""
    money = all(entry["money"] is not None for entry in costs)
    head = ["chapter", "runs", "GPU hours", "CPU hours", "peak memory", "peak GPU memory", "measured on"]
    lines = [head + (["cost"] if money else [])]
    total = {"chapter": "**all**", "memory": None, "gpu_memory": None, "machine": ""}
    for name in ("runs", "cuda", "cpu", *(["money"] if money else [])):
        total[name] = sum(entry[name] for entry in costs)
    for entry in [*sorted(costs, key=lambda entry: (-entry["cuda"], -entry["cpu"])), total]:
        cells = [entry["chapter"], str(entry["runs"]), f"{entry['cuda']:.3f}", f"{entry['cpu']:.3f}"]
        cells += [f"{entry[name]:.1f} GiB" if entry[name] else "" for name in ("memory", "gpu_memory")]
        lines.append([*cells, entry["machine"], *([f"{entry['money']:.2f}"] if money else [])])
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", default="full", choices=("smoke", "quick", "full"))
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where the records lie")
    parser.add_argument("--gpu-hour", type=float, help="price of an hour on the GPU machine, any currency")
    parser.add_argument("--cpu-hour", type=float, help="price of an hour on the machine without one")
    arguments = parser.parse_args()
    prices = {"cuda": arguments.gpu_hour, "cpu": arguments.cpu_hour}
    costs = []
    for path in sorted(arguments.results.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8")).get(arguments.profile)
        if record and record["provenance"]:
            costs.append(cost(path.stem, record["provenance"], prices))
    if not costs:
        sys.exit(
            f"nothing is on record at profile {arguments.profile} in {arguments.results}: see kexue freeze"
        )
    sys.stdout.write(table(costs))


if __name__ == "__main__":
    main()
