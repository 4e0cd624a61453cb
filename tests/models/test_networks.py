"""fftag's own networks."""

import math

import pytest
import torch

from fftag.models.architectures import factory
from fftag.models.architectures.own import HOG_BINS, OWN, OrientedGradients
from fftag.photos.decode import InputSpec


@pytest.mark.parametrize("name", sorted(OWN))
@pytest.mark.parametrize("size", [(96, 64), (64, 48), (101, 75)])
def test_each_takes_any_size_and_gives_finite_logits(name: str, size: tuple[int, int]) -> None:
    model = factory.build(name, 7, InputSpec(*size)).eval()
    outputs = model(torch.randn(2, 3, *size))
    assert outputs.logits.shape == (2, 7) and torch.isfinite(outputs.logits).all()
    assert outputs.embedding.shape[1] == OWN[name][1]


def stripes(angle: float) -> torch.Tensor:
    """Waves whose brightness changes in the direction of an angle."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    wave = torch.sin((x * math.cos(angle) + y * math.sin(angle)) * 0.9)
    return wave.expand(1, 3, 32, 32)


@pytest.mark.parametrize("direction", range(HOG_BINS))
def test_a_gradient_falls_into_the_bin_of_its_direction(direction: int) -> None:
    cells = OrientedGradients()(stripes(direction * math.pi / HOG_BINS))
    histogram = cells[0, :HOG_BINS, 1:-1, 1:-1].mean(dim=(1, 2))
    assert int(histogram.argmax()) == direction


def test_what_a_cell_holds_does_not_change_with_contrast_but_its_strength_does() -> None:
    weak, strong = (OrientedGradients()(stripes(0.5) * gain) for gain in (1.0, 3.0))
    torch.testing.assert_close(weak[:, :HOG_BINS], strong[:, :HOG_BINS], atol=0.05, rtol=0.1)
    assert (strong[:, HOG_BINS] > weak[:, HOG_BINS] + 0.5).all()


def test_a_flat_photo_has_a_colour_and_no_edges_and_its_slope_is_a_number() -> None:
    flat = torch.full((1, 3, 32, 32), 0.25, requires_grad=True)
    cells = OrientedGradients()(flat)
    assert (cells[:, :HOG_BINS] < 0.1).all()
    torch.testing.assert_close(
        cells[:, HOG_BINS + 1 : HOG_BINS + 4], torch.full((1, 3, 8, 8), 0.25)
    )
    cells.sum().backward()
    assert flat.grad is not None and torch.isfinite(flat.grad).all()


def test_half_precision_around_it_leaves_it_in_full() -> None:
    photo = stripes(1.0)
    with torch.autocast("cpu", torch.bfloat16):
        cells = OrientedGradients()(photo)
    torch.testing.assert_close(cells, OrientedGradients()(photo))
