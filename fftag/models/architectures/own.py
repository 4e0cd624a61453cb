"""fftag's own small networks, for small data sets and machines without a GPU."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

CNN_FEATURES = 128
HOG_CELL = 4
HOG_BINS = 9
HOG_WIDTHS = (64, 128, 128)
HOG_BANDS = 6


def small_cnn() -> nn.Sequential:
    """Three convolution blocks of 32, 64 and 128 channels, then a global average: 128 features."""
    blocks: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        blocks.append(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            )
        )
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class OrientedGradients(nn.Module):
    """What a photo holds in cells of a few pixels; nothing in it is learned.

    Of each cell: the histogram of the directions of its edges, weighted by their strength and
    normalised (Dalal and Triggs 2005), with the square root that makes distances between
    histograms meaningful; the strength itself; the mean and the spread of each colour channel.
    """

    channels = HOG_BINS + 1 + 3 + 3

    def forward(self, pixels: Tensor) -> Tensor:
        """float [batch, 3, height, width] -> likewise [batch, channels, height / 4, width / 4]."""
        given = pixels.dtype
        pixels = pixels.float()  # sums of squares and roots are not for half precision
        with torch.autocast(pixels.device.type, enabled=False):
            grey = pixels.mean(1, keepdim=True)
            padded = pad(grey, (1, 1, 1, 1), mode="replicate")
            across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
            down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
            strength = (across**2 + down**2 + 1e-8).sqrt()
            # An edge counts for the two nearest of the directions, from 0 to pi.
            place = torch.atan2(down, across) % math.pi / math.pi * HOG_BINS
            lower = place.floor()
            share = place - lower
            bins = torch.arange(HOG_BINS, device=pixels.device).view(1, -1, 1, 1)
            weights = (lower % HOG_BINS == bins) * (1 - share)
            weights = weights + ((lower + 1) % HOG_BINS == bins) * share
            histogram = avg_pool2d(weights * strength, HOG_CELL)
            total = histogram.sum(1, keepdim=True)
            normalised = (histogram / (total + 0.02)).clamp(min=1e-8).sqrt()
            mean = avg_pool2d(pixels, HOG_CELL)
            spread = (avg_pool2d(pixels**2, HOG_CELL) - mean**2).clamp(min=1e-6).sqrt()
            found = torch.cat([normalised, (total + 0.05).log(), mean, spread], dim=1)
            return found.to(given)


def hog_cnn() -> nn.Sequential:
    """Oriented gradients, three convolutions, an average of six bands from head to foot.

    What edges look like need not be learned from a thousand photos, and where they lie on a person
    who stands upright is kept. 768 features; with 50 labels, 280 thousand parameters.
    """
    layers: list[nn.Module] = [
        nn.Sequential(OrientedGradients(), nn.BatchNorm2d(OrientedGradients.channels))
    ]
    before = OrientedGradients.channels
    for depth, width in enumerate(HOG_WIDTHS):
        block = [
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        last = depth == len(HOG_WIDTHS) - 1
        layers.append(nn.Sequential(*block, *([] if last else [nn.MaxPool2d(2)])))
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((HOG_BANDS, 1)), nn.Flatten())


# Architecture -> what builds its backbone, and the number of features that gives.
OWN = {
    "cnn": (small_cnn, CNN_FEATURES),
    "hog_cnn": (hog_cnn, HOG_WIDTHS[-1] * HOG_BANDS),
}
