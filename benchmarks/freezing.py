"""What freezing saves: time of a training step of each schedule, as a ratio to full training.

    python benchmarks/freezing.py --architecture resnet18 --size 96 64 --batch 32

Nothing is read from disk: random pixels, so that only the network is timed. The schedules take
turns, round by round, and medians are compared.
"""

import argparse
import statistics
import time

import torch

from fftag.models.architectures import factory
from fftag.models.devices import choose_device
from fftag.photos.decode import InputSpec
from fftag.training.learning_rates import Freezer, make_optimizer, make_rates
from fftag.training.settings import FreezeSettings, OptimizerSettings

SCHEDULES = ("none", "head_only", "probe", "gradual", "freezeout")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 64), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=20, help="of the schedule, one step each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--labels", type=int, default=46)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()

    device = choose_device(options.device).torch
    times: dict[str, list[float]] = {name: [] for name in SCHEDULES}
    for _ in range(options.rounds):
        for name in SCHEDULES:
            times[name].append(seconds(name, options, device))
    full = statistics.median(times["none"])
    print(f"{options.architecture} at {options.size[0]} x {options.size[1]}, {device}")
    print(f"{'schedule':12}{'seconds':>9}{'of full':>9}")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name:12}{median:9.2f}{median / full:9.1%}")


def seconds(schedule: str, options: argparse.Namespace, device: torch.device) -> float:
    """One training of one step per epoch: forward, backward, update."""
    torch.manual_seed(0)
    height, width = options.size
    model = factory.build(options.architecture, options.labels, InputSpec(height, width)).to(device)
    settings = OptimizerSettings()
    optimizer = make_optimizer(model, settings)
    freeze = FreezeSettings.model_validate({"schedule": schedule, "epochs_per_stage": 2})
    rates = make_rates(settings, freeze, len(model.stages()), options.epochs, 1)
    freezer = Freezer(model, optimizer, rates)
    pixels = torch.randn(options.batch, 3, height, width, device=device)
    targets = torch.zeros(options.batch, options.labels, device=device)
    model.train()
    began = 0.0
    for step in range(-1, options.epochs):
        if step == 0:  # the step before warms up
            synchronise(device)
            began = time.perf_counter()
        freezer.apply(max(step, 0))
        logits = model(pixels).logits
        torch.nn.functional.binary_cross_entropy_with_logits(logits, targets).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
