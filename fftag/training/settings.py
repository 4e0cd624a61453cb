"""What a recipe sets: small frozen groups of settings that check themselves."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fftag.models.architectures import factory
from fftag.photos.decode import InputSpec

Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Settings):
    """The network.

    Attributes:
        architecture: a name that `fftag models` lists.
        weights: `imagenet`, `none`, the name of torchvision weights, a file or a folder; of
            `hugging_face` a checkpoint's folder, or its name on the hub.
        input_size: height and width in pixels; by default what the architecture was made for.
        resize: how the whole photo is brought to that size.
        dropout: of the embedding that the head sees.
        prior_bias: start the head's bias at the labels' shares (Lin et al. 2017), so that the
            first steps need not learn how common each label is.
    """

    architecture: str
    weights: str = "imagenet"
    input_size: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] | None = None
    resize: Literal["squash", "pad"] = "squash"
    dropout: Decay = 0.0
    prior_bias: bool = True

    def input_spec(self) -> InputSpec:
        """How photos are presented to this network."""
        spec = factory.input_spec(self.architecture, self.weights)
        height, width = self.input_size or (spec.height, spec.width)
        return replace(spec, height=height, width=width, resize=self.resize)


class DataSettings(Settings):
    """Photos on their way to the network.

    Attributes:
        sampler: `shuffle` sees each photo once an epoch; `class_weighted` draws photos with
            replacement, by the summed weights of their labels (see `fftag.training.sampling`).
        flip: mirror every second photo, left to right.
        crop_area: the smallest share of the photo's area that a random crop keeps; 1 keeps all.
        rotate: rotate by up to this many degrees either way.
        colour_jitter: change brightness, contrast and saturation by up to this share.
        trivial: one random change more per photo, of random strength, out of those that leave
            hues as they are (after TrivialAugment, Mueller and Hutter 2021).
        cutout: grey out a rectangle of up to this share of every second photo.
        cache_gb: keep decoded photos in memory when they take no more than this, in GiB.
    """

    sampler: Literal["shuffle", "class_weighted"] = "shuffle"
    flip: bool = True
    crop_area: Share = 0.7
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    colour_jitter: Share = 0.0
    trivial: bool = False
    cutout: Share = 0.0
    cache_gb: NotNegative = 2.0


class LossSettings(Settings):
    """The loss; see `fftag.training.losses` for the formulas.

    Attributes:
        name: `bce`; `weighted_bce` (positives weigh negatives / positives of their label);
            `focal` (Lin et al. 2017); `asymmetric` (Ben-Baruch et al. 2021).
        weight_cap: the most that a positive weighs in `weighted_bce`.
        alpha: weight of positives in `focal`; -1 for none.
        gamma: focusing of `focal`.
        gamma_positive: focusing of the positives of `asymmetric`.
        gamma_negative: focusing of its negatives.
        probability_margin: negatives below this score cost nothing in `asymmetric`.
    """

    name: Literal["bce", "weighted_bce", "focal", "asymmetric"] = "bce"
    weight_cap: Annotated[float, Field(ge=1)] = 20.0
    alpha: Annotated[float, Field(ge=-1, le=1)] = -1.0
    gamma: NotNegative = 2.0
    gamma_positive: NotNegative = 0.0
    gamma_negative: NotNegative = 4.0
    probability_margin: Decay = 0.05


class OptimizerSettings(Settings):
    """The optimizer and its learning rate.

    Attributes:
        name: `adamw`, or `adam` without decoupled weight decay.
        lr: the highest learning rate, of the head.
        layer_decay: each stage away from the head learns at this times the rate of the one before.
        weight_decay: not applied to biases and norms.
        schedule: `cosine` (linear warm-up, half a cosine down to zero), `one_cycle` (Smith and
            Topin 2018: cosine up from lr / 25, cosine down to nearly zero), or `constant`.
        warmup: share of all steps that the rate rises over.
        clip_norm: the gradient's norm is cut to this; 0 leaves it.
        accumulate: batches per step.
    """

    name: Literal["adamw", "adam"] = "adamw"
    lr: Positive = 1e-3
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight_decay: NotNegative = 0.05
    schedule: Literal["cosine", "one_cycle", "constant"] = "cosine"
    warmup: Share = 0.05
    clip_norm: NotNegative = 1.0
    accumulate: Count = 1


class FreezeSettings(Settings):
    """Which stages learn when; see `fftag.training.learning_rates`.

    Attributes:
        schedule: `none`; `probe` (Kumar et al. 2022: the head alone, then everything); `gradual`
            (Howard and Ruder 2018: thaw from the head to the stem); `freezeout` (Brock et al.
            2017: freeze from the stem to the head); `head_only`.
        head_epochs: of `probe`.
        head_lr: rate of the head while it learns alone in `probe`.
        epochs_per_stage: of `gradual`.
        t0: of `freezeout`: before cubing, the share of the training after which the stem freezes.
        scale_rates: of `freezeout`: a stage that has less time learns at a higher rate.
    """

    schedule: Literal["none", "probe", "gradual", "freezeout", "head_only"] = "none"
    head_epochs: Count = 1
    head_lr: Positive = 1e-3
    epochs_per_stage: Count = 1
    t0: Annotated[float, Field(gt=0, le=1)] = 0.8
    scale_rates: bool = True


class TagSettings(Settings):
    """From logits to tags, decided on the validation split.

    Attributes:
        calibration: `platt` (per label where its support allows, else one for all labels),
            `global`, or `none`.
        platt_support: positives and negatives that a label needs for a calibration of its own.
        objective: what thresholds maximise: `micro_f1` (one for all labels), `macro_f1` (one per
            label), `precision` (one per label: the lowest that reaches `precision`), or `fixed`.
        precision: the target of that objective.
        threshold: of `fixed`.
        shrinkage: a label's own threshold counts as much as the global one when this many photos
            have the label.
    """

    calibration: Literal["platt", "global", "none"] = "platt"
    platt_support: Count = 20
    objective: Literal["micro_f1", "macro_f1", "precision", "fixed"] = "micro_f1"
    precision: Share = 0.8
    threshold: Share = 0.5
    shrinkage: NotNegative = 20.0


class ScreenSettings(Settings):
    """The apparel screen that the model folder gets; see docs/screen.md.

    Attributes:
        method: `kmeans`, `neighbour`; `contrast`, which learns from known photos without apparel;
            or `none` for no screen.
        keep: share of apparel photos that is not to be turned down.
        accept: share of them that is not even to be looked at; the rest are for review.
    """

    method: Literal["none", "kmeans", "neighbour", "contrast"] = "kmeans"
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.99
    accept: Annotated[float, Field(gt=0, lt=1)] = 0.95

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.accept > self.keep:
            raise ValueError("accept is at most keep: what is turned down is not accepted")
        return self


class RunSettings(Settings):
    """The course of the training.

    Attributes:
        epochs: most epochs.
        batch_size: photos per batch, over all processes.
        max_steps: steps per epoch at most; 0 goes through all photos.
        ema: decay of the moving average of the weights that is validated and kept; 0 for none.
        patience: stop after this many epochs without a better validation metric; 0 never stops.
        monitor: the validation metric that picks the best epoch.
        precision: see `fftag.models.torch_scorer.choose_precision`.
        channels_last: lay photos out as convolutions like them.
        compile: `torch.compile` the network.
        seed: of everything random.
    """

    epochs: Count = 20
    batch_size: Count = 32
    max_steps: Annotated[int, Field(ge=0)] = 0
    ema: Decay = 0.0
    patience: Annotated[int, Field(ge=0)] = 0
    monitor: Literal["mAP", "micro_f1", "macro_f1"] = "mAP"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    seed: int = 0
