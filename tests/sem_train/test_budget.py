"""Experiments sized to the hours at hand."""

import json
from functools import partial

import pytest
import yaml
from fake_data import CLASSES, write_folder, write_shard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from sem_train.config import ExperimentConfig
from sem_train.data import Picture
from sem_train.experiments import sized as sized_module
from sem_train.experiments.budget import (
    RESERVE,
    Cost,
    baseline_kind,
    bill,
    kind_of,
    least_steps,
    parse_budget,
    size,
    with_steps,
)
from sem_train.experiments.plan import plan_cells
from sem_train.experiments.runner import Experiment
from sem_train.experiments.sized import within_budget
from semforge.errors import InputError
from semforge.settings import load_settings

SPECIMENS = [*"aabbcdefg"]
PICTURES = [Picture(f"i{k}", f"{k}", specimen, "real", lambda: None) for k, specimen in enumerate(SPECIMENS)]
SPECIMEN_OF = {p.name: p.specimen for p in PICTURES}
ARMS = {
    "real_only": 1.0, "synthetic_only": 0.0, "mixed": 0.5, "pretrained": {"pretrain": 0.5, "real_fraction": 1.0},
    "pretrained_mixed": {"pretrain": 0.5, "real_fraction": 0.5, "real_images": ["all"]},
    "otsu": {"baseline": "otsu"},
}  # fmt: skip


def experiment(out="out", data=None, **changes):
    plan = {
        "data": data or {"real": [{"root": "real"}], "synthetic": [{"path": "s.h5"}], "crop_px": 32},
        "classes": CLASSES, "model": {"decoder_channels": [16, 16, 8, 8, 8]},
        "training": {"steps": 2000, "batch_size": 2, "val_every": 500, "precision": "32"} | changes.pop("training", {}),
    }  # fmt: skip
    described = {"name": "tiny", "out": str(out), "arms": ARMS, "reference": "real_only", "plan": plan,
                 "real_images": [1, 2, 4, "all"], "folds": {"count": 4}, "seeds": [0, 1, 2, 3]}  # fmt: skip
    return ExperimentConfig.model_validate(described | changes)


class Estimate:
    """Seconds of an experiment, from made-up costs."""

    def __init__(self, config, step_s=0.5, start_s=20.0, test_s=2.0):
        self.costs = {baseline_kind("otsu"): Cost(0, step_s, test_s)}
        for cell in plan_cells(config, PICTURES):
            self.costs |= {kind_of(training): Cost(start_s, step_s, test_s) for training in cell.trainings}

    def bill(self, config):
        return bill(config, plan_cells(config, PICTURES), self.costs, SPECIMEN_OF)

    def __call__(self, config):
        return sum(item.seconds for item in self.bill(config))


def closed_form(config, step_s=0.5, start_s=20.0):
    """Seconds of an experiment, quickly: arms, numbers, folds and seeds multiplied out, a pretraining a seed."""
    total, shares = 0.0, set()
    for name, arm in config.arms.items():
        plan = config.plan_of(name) if arm.baseline is None else config.plan
        real = plan.data.real_share > 0 or arm.baseline is not None
        asked = [n for n in numbers(config) if n in (arm.real_images or numbers(config))] if real else [0]
        folds = len(config.folds.chosen) if real or config.validation.specimens else 1
        steps = plan.training.steps * (1 - arm.pretrain) if arm.baseline is None else 1
        total += len(asked) * folds * len(config.seeds) * (start_s + step_s * steps)
        shares |= {(arm.pretrain, plan.training.steps)} if arm.pretrain else set()
    return total + sum(len(config.seeds) * (start_s + step_s * share * steps) for share, steps in shares)


def numbers(config):
    return {*config.real_images, *(n for arm in config.arms.values() for n in arm.real_images or ())}


def decided(config):
    """What an experiment decides, as sets that a larger one holds."""
    return (
        numbers(config), set(config.arms), set(range(config.folds.count)), set(range(config.plan.training.steps)),
        set(config.seeds),
    )  # fmt: skip


def test_the_bill_is_what_its_trainings_take():
    config = experiment(arms={"real_only": 1.0, "mixed": 0.5}, real_images=["all"], folds={"count": 2}, seeds=[0])
    (real, mixed) = Estimate(config, step_s=0.5, start_s=20, test_s=2).bill(config)
    # in two folds each of the 9 images is tested once; four trainings, no validation images
    assert (real.what, real.real_images, real.count, real.steps) == ("real_only", "all", 2, 2000)
    assert real.seconds == mixed.seconds == 2 * (20 + 2000 * 0.5) + 9 * 2


def test_validation_counts_and_so_do_images_of_baselines():
    config = experiment(
        arms={"real_only": 1.0, "otsu": {"baseline": "otsu"}}, real_images=[4], folds={"count": 7}, seeds=[0],
        validation={"specimens": 6 - 4},
    )  # fmt: skip
    real, otsu = Estimate(config, step_s=0.5, start_s=20, test_s=2).bill(config)
    cells = [cell for cell in plan_cells(config, PICTURES) if cell.arm == "real_only"]
    held_out = sum(
        sum(s in cell.trainings[0].data.real[0].held_out for s in SPECIMENS) for cell in cells
    )  # fmt: skip
    assert real.seconds == pytest.approx(7 * (20 + 2000 * 0.5) + 9 * 2 + 4 * held_out * 2)
    assert otsu.seconds == pytest.approx(7 * 4 * 0.5 + 9 * 2)


def test_a_pretraining_that_cells_share_is_counted_once():
    arms = {"real_only": 1.0, "pretrained": ARMS["pretrained"], "pretrained_mixed": ARMS["pretrained_mixed"]}
    config = experiment(arms=arms, real_images=["all"], folds={"count": 2}, seeds=[0, 1])
    items = {item.what: item for item in Estimate(config, step_s=1, start_s=0, test_s=0).bill(config)}
    assert (items["pretraining"].count, items["pretraining"].seconds) == (2, 2 * 1000)
    assert items["pretrained"].seconds == items["pretrained_mixed"].seconds == 4 * 1000
    without = Estimate(config, step_s=1, start_s=0, test_s=0)(experiment(
        arms={k: v for k, v in arms.items() if k != "pretrained_mixed"}, real_images=["all"], folds={"count": 2},
        seeds=[0, 1],
    ))  # fmt: skip
    assert sum(item.seconds for item in items.values()) - without == 4 * 1000


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    hours=st.lists(st.floats(0.05, 400), min_size=2, max_size=3),
    step_s=st.floats(0.001, 5), start_s=st.floats(0, 300, allow_subnormal=False),
    asked=st.sampled_from([
        {}, {"seeds": [0, 1, 2]}, {"seeds": [3], "real_images": [4]}, {"training": {"steps": 150}},
        {"arms": {"a": 0.5, "b": {"changes": {"training.learning_rate": 1e-4}}}, "reference": "a"},
        {"folds": {"count": 5, "run": [0, 2]}, "validation": {"specimens": 1}, "real_images": [1, "all"]},
        {"arms": {**ARMS, "real_only": {"real_fraction": 1.0, "real_images": [2, 4]}}, "real_images": ["all"]},
    ]),
)  # fmt: skip
def test_never_over_the_budget_and_more_hours_never_decide_less(hours, step_s, start_s, asked):
    config = experiment(**asked)
    seconds = partial(closed_form, step_s=step_s, start_s=start_s)
    before = None
    for budget_s in sorted(h * 3600 for h in hours):
        try:
            found = size(config, budget_s, seconds)
        except InputError:
            assert before is None
            continue
        assert found.seconds == pytest.approx(seconds(found.config))
        assert found.seconds <= budget_s * (1 - RESERVE)
        assert all(part <= whole for part, whole in zip(decided(found.config), decided(config), strict=True))
        assert config.reference in found.config.arms
        assert bool(found.undecided) == (found.config != config)
        if before is not None:
            assert all(less <= more for less, more in zip(decided(before), decided(found.config), strict=True))
        before = found.config


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hours=st.floats(0.5, 1500))
def test_what_is_given_up_first_is_gone_before_what_is_given_up_last(hours):
    config = experiment()
    try:
        found = size(config, hours * 3600, closed_form).config
    except InputError:
        return
    stages = [
        numbers(found) == {"all"}, set(found.arms) == {"real_only", "mixed"}, found.folds.count == 2,
        found.plan.training.steps == least_steps(config), found.seeds == (0,),
    ]  # fmt: skip
    begun = [numbers(found) != numbers(config), set(found.arms) != set(config.arms),
             found.folds.count != 4, found.plan.training.steps != 2000, found.seeds != config.seeds]  # fmt: skip
    last = max((k for k, is_begun in enumerate(begun) if is_begun), default=0)
    assert all(stages[:last])


def test_the_order_of_thinning():
    config = experiment()
    seconds = closed_form
    ladder = []
    needed = seconds(config)
    while True:
        try:
            found = size(config, needed / (1 - RESERVE), seconds)
        except InputError:
            break
        c = found.config
        if not ladder or ladder[-1][:3] != (sorted(map(str, numbers(c))), list(c.arms), c.folds.count):
            ladder.append((sorted(map(str, numbers(c))), list(c.arms), c.folds.count, c.seeds))
        if c.plan.training.steps < 2000:
            break
        needed = found.seconds * 0.99999
    every = list(ARMS)
    assert ladder == [
        (["1", "2", "4", "all"], every, 4, (0, 1, 2, 3)),
        (["1", "2", "all"], every, 4, (0, 1, 2, 3)),
        (["1", "all"], every, 4, (0, 1, 2, 3)),
        (["all"], every, 4, (0, 1, 2, 3)),
        (["all"], ["real_only", "synthetic_only", "mixed", "pretrained", "otsu"], 4, (0, 1, 2, 3)),
        (["all"], ["real_only", "synthetic_only", "mixed", "otsu"], 4, (0, 1, 2, 3)),
        (["all"], ["real_only", "mixed", "otsu"], 4, (0, 1, 2, 3)),
        (["all"], ["real_only", "mixed"], 4, (0, 1, 2, 3)),
        (["all"], ["real_only", "mixed"], 3, (0, 1, 2, 3)),
        (["all"], ["real_only", "mixed"], 2, (0, 1, 2, 3)),
    ]


def test_what_is_left_undecided_is_told_in_words():
    config = experiment()
    seconds = closed_form
    assert size(config, 2 * seconds(config), seconds).undecided == ()
    assert size(config, seconds(config), seconds).undecided == ("not asked: 4 real images",)
    tight = with_steps(experiment(arms={"real_only": 1.0, "mixed": 0.5}, real_images=["all"], folds={"count": 2}), 800)
    assert size(config, seconds(tight) / (1 - RESERVE) + 1, seconds).undecided == (
        "not asked: 1, 2 and 4 real images",
        "not compared: synthetic_only, pretrained, pretrained_mixed and otsu",
        "2 folds instead of 4: every specimen is tested, but by models trained on 50 % of the specimens "
        "instead of 75 %",
        "steps 800 instead of 2,000: arms that learn slowly are at a disadvantage",
    )
    one = with_steps(tight, 500).model_copy(update={"seeds": (0,)})
    assert size(config, seconds(one) / (1 - RESERVE) + 1, seconds).undecided[-1] == (
        "one seed instead of 4: what chance does to a training cannot be told from what an arm does"
    )


def test_too_little_says_the_least_that_is_needed():
    config = experiment()
    seconds = closed_form
    with pytest.raises(InputError, match=r"2 arms, all real images, 2 folds, 500 steps and one seed need") as caught:
        size(config, 60, seconds)
    least = str(caught.value).partition(" need ")[2].split()[0]
    assert size(config, parse_budget(least), seconds).config.seeds == (0,)
    with pytest.raises(InputError):
        size(config, 0.9 * parse_budget(least), seconds)


def test_steps_that_arms_repeat_change_with_those_of_the_plan():
    arms = {"real_only": 1.0, "same": {"changes": {"training": {"steps": 2000}}}, "other": {
        "changes": {"training.steps": 2000, "training.warmup_steps": 100, "training.schedule": "cosine"}}}  # fmt: skip
    config = with_steps(experiment(arms=arms, training={"schedule": "poly", "warmup_steps": 100}), 500)
    assert [config.plan_of(arm).training.steps for arm in arms] == [500, 500, 500]
    assert config.plan.training.warmup_steps == config.plan_of("other").training.warmup_steps == 25


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("6h", 21600), ("2d", 172800), ("1.5h", 5400)])
def test_budgets_are_times(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "-1h", "0h", "6 hours", "6H", "1e3m", "nan"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(InputError, match="expected a time above 0 such as 90m, 6h or 2d"):
        parse_budget(text)


@pytest.fixture
def tiny(tmp_path):
    """An experiment whose data is there: two arms, all real images, two folds."""
    write_folder(tmp_path / "real", ["a", "b", "a", "c"])
    write_shard(tmp_path / "s.h5", count=2)
    real = {"root": str(tmp_path / "real"), "index": "index.csv"}
    return experiment(
        tmp_path / "out", {"real": [real], "synthetic": [{"path": str(tmp_path / "s.h5")}], "crop_px": 32},
        arms={"real_only": 1.0, "mixed": 0.5, "otsu": {"baseline": "otsu"}}, real_images=[1, "all"],
        folds={"count": 2}, training={"steps": 4, "val_every": 4},
    )  # fmt: skip


def test_measured_on_real_trainings_and_the_same_when_it_goes_on(tiny, monkeypatch):
    quiet = Console(quiet=True)
    config = within_budget(tiny, "2d", quiet)
    assert config == tiny
    notes = json.loads((tiny.out / "budget.json").read_text())
    assert {kind.rpartition(",")[0] for kind in notes["costs"]} == {"unet, real", "unet, both", ""}
    for kind, cost in notes["costs"].items():
        assert cost["step_s"] > 0 and cost["test_s"] > 0 and (cost["start_s"] > 0) == kind.startswith("unet")
    assert load_settings(tiny.out / "budget.yaml", ExperimentConfig) == tiny
    monkeypatch.setattr("sem_train.experiments.speed.fit", None)  # nothing is measured again
    assert within_budget(tiny, "48h", quiet) == tiny
    Experiment.of(config).run(["real_only-1-fold0-seed0"], quiet)
    with pytest.raises(InputError, match=r"made of other settings \(seeds was \[0, 1, 2, 3\], now \[0\]\)"):
        within_budget(tiny.model_copy(update={"seeds": (0,)}), "2d", quiet)


@pytest.fixture
def measured(monkeypatch):
    """Costs as if measured: a second a step and half a minute to start."""

    def measure(config, cells, pictures, told, known):  # fmt: skip
        kinds = {kind_of(training) for cell in cells for training in cell.trainings} | {baseline_kind("otsu")}
        return {kind: Cost(30, 1, 1) for kind in kinds}

    monkeypatch.setattr(sized_module, "measure_costs", measure)


def test_another_budget_may_add_to_what_was_begun(tiny, measured):
    quiet = Console(quiet=True)
    # 4 seeds and 2 folds of a number are 16 trainings of 34 s
    small = within_budget(tiny, "12m", quiet)
    assert small.real_images == ("all",) and small.plan.training.steps == 4
    begin(small, "real_only-all-fold0-seed0", quiet)
    large = within_budget(tiny, "2h", quiet)
    assert large == tiny
    assert yaml.safe_load((tiny.out / "budget.yaml").read_text())["real_images"] == [1, "all"]
    assert json.loads((tiny.out / "budget.json").read_text())["budget"] == "2h"
    begin(large, "real_only-1-fold0-seed0", quiet)
    with pytest.raises(InputError, match=r"--budget 12m: .* holds real_only-1-fold0-seed0, which does not fit; give "
                                         r"--budget 2h again, change 'out', or remove the folder"):  # fmt: skip
        within_budget(tiny, "12m", quiet)
    assert within_budget(tiny, "2h", quiet) == tiny


def test_another_budget_may_not_change_what_was_begun(tiny, measured):
    quiet = Console(quiet=True)
    asked = with_steps(tiny, 2000)
    small = within_budget(asked, "8h", quiet)
    assert 500 <= small.plan.training.steps < 2000
    cell = next(c for c in Experiment.of(small).cells if c.name == "mixed-all-fold0-seed0")
    folder = cell.trainings[-1].out
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(cell.trainings[-1].model_dump(mode="json")))
    (folder / "last.ckpt").touch()
    with pytest.raises(InputError, match=r"holds trainings of another size \(.*training.steps was \d+, now 2000"):
        within_budget(asked, "2d", quiet)
    assert within_budget(asked, "8h", quiet) == small


def begin(config, name, console):
    Experiment.of(config).run([name], console)
