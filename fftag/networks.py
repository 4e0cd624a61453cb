"""fftag's own small networks, for small data sets and machines without a GPU."""

from torch import Tensor, nn
from torch.nn.functional import relu
from torchvision.ops import StochasticDepth

CNN_FEATURES = 128
RESNET_WIDTHS = (16, 32, 64, 128)
RESNET_BANDS = 4
RESNET_DROP = 0.1


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


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016), which starts out as the shortcut.

    Where it halves the photo, the shortcut averages rather than skips pixels (He et al. 2019). In
    training a share `drop` of the photos take the shortcut alone (Huang et al. 2016).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, drop: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        nn.init.zeros_(self.norm2.weight)
        self.drop = StochasticDepth(drop, "row")
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, pixels: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(pixels)))))
        return relu(self.shortcut(pixels) + self.drop(inner))


def small_resnet() -> nn.Sequential:
    """Ten layers: a stem, four residual blocks of 16 to 128 channels, an average of four bands.

    It sees the whole of a photo of 96 x 64 pixels, where `small_cnn` sees 22 pixels across. The
    bands run from the top of the photo to its bottom: on people who stand upright, hats and shoes
    have their place, which a global average would forget. 512 features; with 50 labels, 334
    thousand parameters.
    """
    first = RESNET_WIDTHS[0]
    layers: list[nn.Module] = [
        nn.Sequential(
            nn.Conv2d(3, first, 5, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
    ]
    before = first
    for depth, width in enumerate(RESNET_WIDTHS, start=1):
        drop = RESNET_DROP * depth / len(RESNET_WIDTHS)
        layers.append(ResidualBlock(before, width, 1 if width == before else 2, drop))
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((RESNET_BANDS, 1)), nn.Flatten())


# Architecture -> what builds its backbone, and the number of features that gives.
OWN = {
    "cnn": (small_cnn, CNN_FEATURES),
    "resnet10": (small_resnet, RESNET_WIDTHS[-1] * RESNET_BANDS),
}
