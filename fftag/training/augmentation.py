"""The changes of photos at training time, so that a network sees none twice alike."""

from torchvision.transforms import v2

from fftag.photos.decode import InputSpec
from fftag.training.settings import DataSettings

# After TrivialAugment (Mueller and Hutter 2021): one change, of random strength. Left out are those
# that change what colour a garment is, or invert, posterise or solarise it.
_TRIVIAL = [
    v2.Identity(),
    v2.RandomRotation(12, v2.InterpolationMode.BILINEAR, fill=255),
    v2.RandomAffine(0, translate=(0.1, 0.1), interpolation=v2.InterpolationMode.BILINEAR, fill=255),
    v2.RandomAffine(0, shear=(-10, 10, -10, 10), interpolation=v2.InterpolationMode.BILINEAR),
    v2.ColorJitter(brightness=0.3),
    v2.ColorJitter(contrast=0.3),
    v2.ColorJitter(saturation=0.3),
    v2.RandomAutocontrast(1.0),
    v2.RandomAdjustSharpness(2.0, 1.0),
]


def make_augmentation(data: DataSettings, spec: InputSpec) -> v2.Transform:
    """The training-time changes of a uint8 photo [3, height, width]."""
    steps: list[v2.Transform] = []
    if data.crop_area < 1:
        steps.append(
            v2.RandomResizedCrop(
                (spec.height, spec.width), (data.crop_area, 1.0), (0.85, 1.18), antialias=True
            )
        )
    if data.flip:
        steps.append(v2.RandomHorizontalFlip())
    if data.rotate:
        steps.append(v2.RandomRotation(data.rotate, v2.InterpolationMode.BILINEAR, fill=255))
    if data.colour_jitter:
        amount = data.colour_jitter
        steps.append(v2.ColorJitter(brightness=amount, contrast=amount, saturation=amount))
    if data.trivial:
        steps.append(v2.RandomChoice(_TRIVIAL))
    if data.cutout:
        grey = [255 * value for value in spec.mean]
        steps.append(v2.RandomErasing(0.5, (0.02, data.cutout), value=grey))
    return v2.Compose(steps) if steps else v2.Identity()
