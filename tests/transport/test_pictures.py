import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, laplace
from scipy.stats import wasserstein_distance

from kexue.transport import pictures


def images(n=3, h=6, w=5, seed=0):
    return torch.rand(n, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_sharpness_is_scipys_laplacian():
    x = images()
    expected = [float((laplace(image.numpy())[1:-1, 1:-1] ** 2).mean()) for image in x]
    assert pictures.sharpness(x).tolist() == pytest.approx(expected)
    assert pictures.sharpness(torch.ones(1, 3, 3)).tolist() == [0]


def test_blur_is_scipys():
    x = images(2, 12, 9)
    for sigma in (0.5, 1.3):
        expected = gaussian_filter(
            x.numpy(), (0, sigma, sigma), mode="nearest", radius=(0, *[math.ceil(3 * sigma)] * 2)
        )
        torch.testing.assert_close(pictures.blur(x, sigma), torch.from_numpy(expected))


@settings(deadline=None, max_examples=25)
@given(st.integers(-3, 3), st.integers(-3, 3))
def test_shift(rows, columns):
    x = images(2, 6, 5)
    moved = pictures.shift(x, rows, columns)
    for i in range(6):
        for j in range(5):
            inside = 0 <= i - rows < 6 and 0 <= j - columns < 5
            expected = x[:, i - rows, j - columns] if inside else torch.zeros(2, dtype=torch.float64)
            torch.testing.assert_close(moved[:, i, j], expected)


def test_patches_in_reading_order():
    x = images(2, 4, 5)
    cut = pictures.patches(x, 3)
    assert cut.shape == (2, 6, 9)
    torch.testing.assert_close(cut[1, 4], x[1, 1:4, 1:4].flatten())


def test_shrink_and_components():
    x = images(20).flatten(1)
    mean = x.mean(0)
    torch.testing.assert_close(pictures.shrink(x, 0.0, mean), mean.expand_as(x))
    torch.testing.assert_close(pictures.shrink(x, 1.0, mean), x)
    torch.testing.assert_close(pictures.keep_components(x, 0, x), mean.expand_as(x))
    lost = [float((pictures.keep_components(x, k, x) - x).norm()) for k in range(20)]
    assert lost == sorted(lost, reverse=True)
    assert lost[-1] == pytest.approx(0, abs=1e-9)


def test_sliced_distance_on_a_line():
    x, y = images(1, 30, 2).squeeze(0).T[..., None]
    found = pictures.sliced_distance(x, y, generator=torch.Generator().manual_seed(0))
    assert found == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0]))


def test_spread():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert pictures.diversity(x) == 5
    assert pictures.distance_to_nearest(x, torch.tensor([[0.0, 1.0]])) == pytest.approx((1 + 18**0.5) / 2)


def test_refuses():
    x = images()
    with pytest.raises(ValueError, match="at least 3 × 3, got \\(2, 5\\)"):
        pictures.sharpness(x[:, :2])
    with pytest.raises(ValueError, match="points must hold at least 2, got 1"):
        pictures.diversity(x[:1].flatten(1))
    with pytest.raises(ValueError, match="must not be empty"):
        pictures.distance_to_nearest(x.flatten(1), x[:0].flatten(1))
    with pytest.raises(ValueError, match="sigma must be > 0"):
        pictures.blur(x, 0.0)
    with pytest.raises(ValueError, match=r"count must lie in \[0, 30\], got 31"):
        pictures.keep_components(x.flatten(1), 31, x.flatten(1))
    with pytest.raises(ValueError, match="smaller than 6 × 5"):
        pictures.shift(x, 6, 0)
    with pytest.raises(ValueError, match=r"side must lie in \[1, 5\], got 6"):
        pictures.patches(x, 6)
    with pytest.raises(ValueError, match="one shape"):
        pictures.sliced_distance(x[0, :0], x[0, :0], generator=torch.Generator())
