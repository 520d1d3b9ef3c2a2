"""The house style: readable on both pages, told apart without colour vision, the same bytes every time."""

from __future__ import annotations

import io
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from kexue import figures

PAGES = ("#ffffff", "#0f1217")
# Viénot, Brettel and Mollon (1999), linear RGB; the rows that deuteranopes and protanopes see.
DEFICIENCIES = {
    "deuteranopia": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
    "protanopia": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
}


def linear(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", PAGES)
def test_ink_and_colours_stand_out_on_both_pages(page: str) -> None:
    assert contrast(figures.INK, page) >= 4.2
    for colour in figures.COLOURS:
        assert contrast(colour, page) >= 3.4, colour


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_neighbours_in_the_cycle_differ_without_full_colour_vision(deficiency: str) -> None:
    seen = [DEFICIENCIES[deficiency] @ linear(colour) for colour in figures.COLOURS]
    for i, j in combinations(range(len(seen)), 2):
        if j - i == 1:
            assert np.abs(np.cbrt(np.clip(seen[i], 0, 1)) - np.cbrt(np.clip(seen[j], 0, 1))).max() > 0.1, (
                i,
                j,
            )


def _draw() -> bytes:
    with plt.rc_context():
        figures.use_house_style()
        figure, axes = plt.subplots()
        for power in (1, 2, 3):
            axes.plot([0, 1, 2], [0, 1, 2**power], label=f"$p = {power}$")
        axes.set(xlabel="x", ylabel="y", title="title")
        axes.legend()
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        plt.close(figure)
    return file.getvalue()


def test_the_same_drawing_gives_the_same_bytes() -> None:
    assert _draw() == _draw()


def test_the_background_is_transparent_and_the_width_is_the_house_s() -> None:
    with plt.rc_context():
        figures.use_house_style("png")
        figure = plt.figure()
        assert figure.get_figwidth() == figures.WIDTH
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches=None)
        plt.close(figure)
    file.seek(0)
    assert np.all(plt.imread(file)[..., 3] == 0)


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="image_format: got 'pdf', want 'svg' or 'png'"):
        figures.use_house_style("pdf")
