"""The house style of the book's figures: one call before the first plot.

A figure has a transparent background and is seen on a white page, on a dark page, on a phone 390 px wide and on paper.
So ink and colours are chosen to keep a contrast of at least 3.4 : 1 (text: 4 : 1) against both pages, lines differ by dash
too, never by colour alone, and text is set large enough for 6.4 inches to be squeezed into 390 px.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cycler import cycler
from matplotlib import style
from matplotlib.colors import LinearSegmentedColormap

WIDTH: Final = 6.4
"""Width of a figure in inches; a chapter chooses only the height."""

INK: Final = "#7a7a7a"
"""Axes and text: the grey that reads as well on white (4.3 : 1) as on the dark page (4.4 : 1)."""

BLUE: Final = "#2a7fb8"
VERMILION: Final = "#d55e00"
GREEN: Final = "#009e73"
PINK: Final = "#c2629b"
OCHRE: Final = "#a87b00"

COLOURS: Final = (BLUE, VERMILION, GREEN, PINK, OCHRE, INK)
"""The cycle of line colours, told apart under the three common colour-vision deficiencies (after Okabe and Ito)."""

DIVERGING: Final = LinearSegmentedColormap.from_list("kexue-diverging", [BLUE, "#f2f2f2", VERMILION])
"""Signed values: blue is below, vermilion above, near-white in the middle. Centre the norm yourself."""

_DASHES: Final = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1)), "-")


def use_house_style(image_format: str = "svg") -> None:
    """Make every following figure follow the house style.

    In a notebook the images become SVG, or PNG of 1280 px for figures with many thousand marks; without one only the
    style is set. The same drawing always gives the same bytes: no date, no random identifiers.

    Args:
        image_format: `"svg"`, or `"png"` where an SVG would exceed about 300 kB.

    Raises:
        ValueError: for another format.
    """
    if image_format not in ("svg", "png"):
        raise ValueError(f"image_format: got {image_format!r}, want 'svg' or 'png'")
    style.use(_STYLE)
    _show_inline_as(image_format)


def _show_inline_as(image_format: str) -> None:
    try:
        from IPython.core.getipython import get_ipython
        from matplotlib_inline import backend_inline
    except ImportError:
        return
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    show_as: Callable[..., None] = backend_inline.set_matplotlib_formats
    if image_format == "svg":
        show_as("svg", metadata={"Date": None}, bbox_inches="tight")
    else:
        show_as("png", metadata={"Software": None}, bbox_inches="tight", dpi=200)


_STYLE: Final[dict[str, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 14,
    "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=_DASHES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 15,
    "figure.autolayout": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.facecolor": "none",
    "figure.figsize": (WIDTH, 4.0),
    "font.family": "DejaVu Sans",
    "font.size": 14,
    "grid.alpha": 0.3,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "image.cmap": "cividis",
    "legend.edgecolor": INK,
    "legend.facecolor": "none",
    "legend.fontsize": 13,
    "legend.framealpha": 0.0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 2.0,
    "lines.markersize": 5,
    "patch.edgecolor": INK,
    "savefig.bbox": "tight",
    "savefig.dpi": 200,
    "savefig.facecolor": "none",
    "savefig.transparent": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "kexue",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 13,
    "ytick.color": INK,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 13,
}
