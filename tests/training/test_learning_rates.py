from collections.abc import Callable

import pytest
import torch

from fftag.models.architectures import factory
from fftag.photos.decode import InputSpec
from fftag.training.learning_rates import (
    Freezer,
    constant,
    freezeout_ends,
    make_optimizer,
    make_rates,
    one_cycle,
    warmup_cosine,
)
from fftag.training.settings import FreezeSettings, OptimizerSettings

EPOCHS, STEPS = 10, 4


def start(
    freeze: FreezeSettings, optimizer: OptimizerSettings | None = None
) -> tuple[factory.Classifier, Freezer]:
    torch.manual_seed(0)
    model = factory.build("cnn", 3, InputSpec(16, 16))
    settings = optimizer or OptimizerSettings(lr=0.01, weight_decay=0.1)
    adam = make_optimizer(model, settings)
    rates = make_rates(settings, freeze, len(model.stages()), EPOCHS, STEPS)
    return model, Freezer(model, adam, rates)


def take_step(model: factory.Classifier, freezer: Freezer, step: int) -> set[str]:
    """Trains a step; returns the names of all tensors, buffers too, that it changed."""
    model.train()
    freezer.apply(step)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(8, 3, 16, 16)).logits.square().mean().backward()
    freezer.optimizer.step()
    freezer.optimizer.zero_grad(set_to_none=True)
    return {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}


def of_stages(model: factory.Classifier, names: set[str]) -> set[str]:
    return {
        stage.name
        for stage in model.stages()
        if any(name.startswith(stage.name + ".") for name in names)
    }


STAGES = ["head", "backbone.2", "backbone.1", "backbone.0"]


def test_the_stages_of_the_cnn_run_from_head_to_stem() -> None:
    model, _ = start(FreezeSettings())
    assert [stage.name for stage in model.stages()] == STAGES


@pytest.mark.parametrize(
    ("freeze", "learning"),
    [
        (FreezeSettings(), {0: 4, 20: 4, 39: 4}),
        (FreezeSettings(schedule="head_only"), {0: 1, 39: 1}),
        (FreezeSettings(schedule="probe", head_epochs=2), {0: 1, 7: 1, 8: 4, 39: 4}),
        (FreezeSettings(schedule="gradual", epochs_per_stage=2), {0: 1, 8: 2, 16: 3, 24: 4}),
    ],
)
def test_only_the_stages_that_should_learn_do(
    freeze: FreezeSettings, learning: dict[int, int]
) -> None:
    for step, count in learning.items():
        model, freezer = start(freeze)
        changed = take_step(model, freezer, step)
        # Batch norm's running figures stand still as well: they are among the tensors compared.
        assert of_stages(model, changed) == set(STAGES[:count])
        moved = [p for stage in model.stages()[:count] for p in stage.parameters]
        assert set(freezer.optimizer.state) == set(moved)
        frozen = [p for stage in model.stages()[count:] for p in stage.parameters]
        assert all(p.grad is None and not p.requires_grad for p in frozen)


def test_freezeout_freezes_from_the_stem_and_drops_what_the_optimizer_kept() -> None:
    model, freezer = start(FreezeSettings(schedule="freezeout", t0=0.5))
    ends = freezeout_ends(4, 0.5)
    assert ends == pytest.approx([1.0, (5 / 6) ** 3, (2 / 3) ** 3, 0.125])
    learning = [len(of_stages(model, take_step(model, freezer, step))) for step in range(40)]
    assert learning == sorted(learning, reverse=True) and learning[0] == 4 and learning[-1] == 1
    # A stage learns in step s of 40 as long as s / 40 < its end.
    assert [learning.count(n) for n in (4, 3, 2, 1)] == [5, 7, 12, 16]
    assert set(freezer.optimizer.state) == set(model.stages()[0].parameters)


def test_scaled_rates_give_a_stage_the_same_learning_in_less_time() -> None:
    settings = OptimizerSettings(lr=0.01)
    scaled = make_rates(settings, FreezeSettings(schedule="freezeout", t0=0.5), 4, 100, 10)
    total = [sum(scaled(step)[stage] for step in range(1000)) for stage in range(4)]
    assert total == pytest.approx([total[0]] * 4, rel=0.02)


def test_a_thawed_stage_learns_again_and_the_stage_before_it_goes_on() -> None:
    model, freezer = start(FreezeSettings(schedule="probe", head_epochs=1))
    assert take_step(model, freezer, 3) == {"head.weight", "head.bias"}
    assert of_stages(model, take_step(model, freezer, 4)) == set(STAGES)
    assert model.backbone.training and model.backbone[0][1].training


def test_a_frozen_backbone_builds_no_graph() -> None:
    model, freezer = start(FreezeSettings(schedule="head_only"))
    model.train()
    freezer.apply(0)
    assert not model(torch.randn(4, 3, 16, 16)).embedding.requires_grad


def test_each_stage_away_from_the_head_learns_slower_by_the_layer_decay() -> None:
    settings = OptimizerSettings(lr=0.1, layer_decay=0.5, schedule="constant", warmup=0)
    rates = make_rates(settings, FreezeSettings(), 4, EPOCHS, STEPS)
    assert rates(7) == pytest.approx([0.1, 0.05, 0.025, 0.0125])


def test_vectors_do_not_decay() -> None:
    model, freezer = start(FreezeSettings())
    decaying = [p for g in freezer.optimizer.param_groups if g["weight_decay"] for p in g["params"]]
    assert decaying and all(p.ndim > 1 for p in decaying)
    all_of_them = [p for group in freezer.optimizer.param_groups for p in group["params"]]
    assert len(all_of_them) == len(set(all_of_them)) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("course", "warmup", "points"),
    [
        # A half at the middle of the fall, a half of (1 + cos(pi 89/90)) at the last step.
        (warmup_cosine, 0.1, {0: 0.1, 4: 0.5, 9: 1, 10: 1, 55: 0.5, 99: 0.000304586, 130: 0}),
        (warmup_cosine, 0, {0: 1, 50: 0.5, 75: 0.146447}),
        (warmup_cosine, 0.001, {0: 1, 1: 1}),  # one step rises at least
        (warmup_cosine, 1, {0: 0.01, 99: 1, 100: 1}),
        # From 1/25 halfway to 1 is 0.52.
        (one_cycle, 0.3, {0: 0.04, 15: 0.52, 30: 1, 65: 0.5, 100: 0, 130: 0}),
        (one_cycle, 0, {0: 1, 50: 0.5}),
        (one_cycle, 1, {50: 0.52, 100: 1}),
        (constant, 0.1, {0: 0.1, 4: 0.5, 9: 1, 10: 1, 99: 1}),
        (constant, 0, {0: 1}),
    ],
)
def test_the_rate_at_some_steps_of_a_hundred(
    course: Callable[[int, int, float], float], warmup: float, points: dict[int, float]
) -> None:
    found = {step: course(step, 100, warmup) for step in points}
    assert found == pytest.approx(points, abs=1e-6)


def test_the_rate_rises_then_falls_to_nothing() -> None:
    factors = [warmup_cosine(step, 100, 0.1) for step in range(100)]
    assert factors[0] == 0.1 and factors[9] == 1.0 and max(factors) == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True) and factors[-1] < 0.001
    cycle = [one_cycle(step, 100, 0.3) for step in range(100)]
    assert cycle[0] == pytest.approx(1 / 25) and cycle[30] == 1.0 == max(cycle)
    assert cycle[:31] == sorted(cycle[:31]) and cycle[30:] == sorted(cycle[30:], reverse=True)
    assert [constant(step, 100, 0.0) for step in (0, 50, 99)] == [1.0, 1.0, 1.0]
