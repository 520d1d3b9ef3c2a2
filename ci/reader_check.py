"""Checks a notebook that a reader ran: every code cell ran, every claim was judged, with the installed package."""

import json
import sys
from pathlib import Path

import kexue
from kexue.claims.display import MEASUREMENT_MIME


def main() -> None:
    """Check the notebook named first; the package must lie in the folder named second."""
    notebook, environment = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    library = Path(kexue.__file__).resolve()
    if not library.is_relative_to(environment):
        sys.exit(f"reader: kexue was imported from {library}, not from {environment}")
    cells = [
        cell
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip()
    ]
    missed = [number for number, cell in enumerate(cells, 1) if cell["execution_count"] is None]
    if missed:
        sys.exit(f"reader: code cells {missed} of {notebook} did not run")
    outputs = [output for cell in cells for output in cell["outputs"]]
    if any(output["output_type"] == "error" for output in outputs):
        sys.exit(f"reader: a cell of {notebook} ended with an error")
    measured = [o for o in outputs if MEASUREMENT_MIME in o.get("data", {})]
    if not measured:
        sys.exit(f"reader: {notebook} measured no claim")
    print(
        f"reader: {len(cells)} code cells ran and {len(measured)} claims were measured with {library.parent}"
    )


if __name__ == "__main__":
    main()
