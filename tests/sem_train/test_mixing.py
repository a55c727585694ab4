"""A share of real crops that changes over the training."""

import itertools
import math

import numpy as np
import pytest
import torch
import yaml
from fake_data import CLASSES, config, write_folder, write_shard
from hypothesis import given
from hypothesis import strategies as st
from interruptions import interrupt_at

from sem_train.classes import ClassMap
from sem_train.config import AnnealedShare, DataSettings
from sem_train.data import MixedBatches, gather
from sem_train.training import fit
from semforge.errors import InputError
from semforge.settings import parse_settings

# PyTorch may have been told to flush subnormal numbers by a test before
shares = st.floats(0, 1, allow_subnormal=False)


@st.composite
def annealed(draw):
    shape = draw(st.sampled_from(["linear", "cosine", "step"]))
    if shape == "step":
        return AnnealedShare(start=draw(shares), end=draw(shares), shape=shape, to=draw(st.floats(0.01, 0.99)))
    begin = draw(st.floats(0, 0.9, allow_subnormal=False))
    ends = {"from": begin, "to": draw(st.floats(begin + 0.01, 1))}
    return AnnealedShare(start=draw(shares), end=draw(shares), shape=shape, **ends)


def share_at(annealing, progress):
    """The share itself, written down independently of its integral."""
    if annealing.shape == "step":
        return annealing.start if progress < annealing.to else annealing.end
    x = np.clip((progress - annealing.begin) / (annealing.to - annealing.begin), 0, 1)
    way = x if annealing.shape == "linear" else (1 - math.cos(math.pi * x)) / 2
    return annealing.start + way * (annealing.end - annealing.start)


@given(annealed(), shares)
def test_the_integral_is_that_of_the_share(annealing, progress):
    n = 4000
    middles = (np.arange(n) + 0.5) / n * progress
    by_sum = np.mean([share_at(annealing, p) for p in middles]) * progress
    assert annealing.until(progress) == pytest.approx(by_sum, abs=1 / n)  # a step falls between two of them
    assert annealing.until(1.5) - annealing.until(1) == pytest.approx(0.5 * annealing.end)


def test_means_in_closed_form():
    ends = {"start": 0.1, "end": 0.9}
    assert AnnealedShare(**ends).mean == pytest.approx(0.5)
    assert AnnealedShare(**ends, shape="cosine").mean == pytest.approx(0.5)
    assert AnnealedShare(**ends, to=0.5).mean == pytest.approx(0.5 * 0.5 + 0.5 * 0.9)
    assert AnnealedShare(**ends, shape="step", to=0.75).mean == pytest.approx(0.75 * 0.1 + 0.25 * 0.9)


@given(annealed(), st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), st.integers(1, 60), st.integers(0, 80))
def test_annealed_batches_hold_the_share_and_resume_anywhere(annealing, n_synthetic, n_real, size, steps, first):
    batches = MixedBatches(n_synthetic, n_real, annealing, size, 3, steps=steps)
    every = list(itertools.islice(batches, 90))
    assert {len(batch) for batch in every} == {size}
    assert [number for batch in every for _, number in batch] == list(range(90 * size))
    real = np.cumsum([sum(position >= n_synthetic for position, _ in batch) for batch in every])
    for step in range(1, 91):
        expected = size * steps * annealing.until(step / steps)
        assert expected - 1 < real[step - 1] <= expected + 1e-6
    positions = [position for batch in every for position, _ in batch]
    for kind, n in (([p for p in positions if p >= n_synthetic], n_real),
                    ([p for p in positions if p < n_synthetic], n_synthetic)):  # fmt: skip
        for lap in range(len(kind) // n):
            assert len(set(kind[lap * n : (lap + 1) * n])) == n
    resumed = MixedBatches(n_synthetic, n_real, annealing, size, 3, first_step=first, steps=steps)
    assert list(itertools.islice(resumed, 4)) == [batches.batch(first + i) for i in range(4)]


@given(annealed(), st.integers(0, 20))
def test_devices_share_out_an_annealed_batch(annealing, step):
    whole = MixedBatches(5, 5, annealing, 8, 0, steps=10)
    parts = [next(iter(MixedBatches(5, 5, annealing, 8, 0, step, rank, 2, steps=10))) for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == sorted(whole.batch(step))


def test_a_step_goes_from_one_kind_to_the_other():
    switch = AnnealedShare(start=0, end=1, shape="step", to=0.75)
    batches = MixedBatches(4, 4, switch, 8, 0, steps=100)
    kinds = [{position >= 4 for position, _ in batches.batch(step)} for step in range(110)]
    assert kinds == [{False}] * 75 + [{True}] * 35


def test_batches_of_a_constant_share_are_those_of_earlier_versions():
    """As they were drawn before a share could be annealed: (position, number) of batches 0, 7 and 1000."""
    known = {0.5: KNOWN_HALF, 0.3: KNOWN_THIRD}
    for share, expected in known.items():
        batches = MixedBatches(5, 3, share, 4, seed=11)
        assert {step: batches.batch(step) for step in expected} == expected
        assert MixedBatches(5, 3, share, 4, seed=11, steps=77).batch(7) == expected[7]


KNOWN_HALF = {0: [(3, 0), (0, 1), (6, 2), (5, 3)], 7: [(1, 28), (3, 29), (5, 30), (5, 31)],
              1000: [(3, 4000), (4, 4001), (7, 4002), (7, 4003)]}  # fmt: skip
KNOWN_THIRD = {0: [(3, 0), (0, 1), (4, 2), (6, 3)], 7: [(1, 28), (4, 29), (2, 30), (6, 31)],
               1000: [(4, 4000), (2, 4001), (3, 4002), (6, 4003)]}  # fmt: skip

BOTH = {"synthetic": [{"path": "s.h5"}], "real": [{"root": "r"}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"end": 2}, r"real_fraction\.end: input should be less than or equal to 1"),
     ({"from": 0.5, "to": 0.5}, "'from' is 0.5 and 'to' 0.5, expected 'from' below 'to'"),
     ({"shape": "step"}, r"real_fraction: 'to' is 1, expected above 0 and below 1"),
     ({"shape": "step", "to": 0.5, "from": 0.1}, "a step has none"),
     ({"form": 0.5}, "unknown key; did you mean 'from'")],
)  # fmt: skip
def test_wrong_annealing_is_refused_in_one_line(changes, message):
    text = yaml.safe_dump({**BOTH, "real_fraction": {"start": 0, "end": 1, **changes}})
    with pytest.raises(InputError, match=message) as error:
        parse_settings(text, DataSettings, "x.yaml")
    assert "\n" not in str(error.value)


def test_a_share_out_of_range_is_named_by_its_key():
    with pytest.raises(InputError, match=r"^x\.yaml: real_fraction: input should be less than or equal to 1"):
        parse_settings(yaml.safe_dump({**BOTH, "real_fraction": 1.5}), DataSettings, "x.yaml")


def test_annealing_needs_both_kinds_and_survives_being_stored():
    with pytest.raises(ValueError, match="no 'real' data"):
        DataSettings(synthetic=BOTH["synthetic"], real_fraction={"start": 0, "end": 1})
    with pytest.raises(ValueError, match="no 'synthetic' data"):
        DataSettings(real=BOTH["real"], real_fraction={"start": 0, "end": 1})
    data = DataSettings(**BOTH, real_fraction={"start": 0, "end": 1, "from": 0.25})
    assert DataSettings.model_validate(data.model_dump(mode="json")) == data
    assert data.model_dump(mode="json")["real_fraction"]["from"] == 0.25


def test_class_shares_are_those_of_all_batches_together(tmp_path):
    classes = ClassMap.model_validate({"classes": CLASSES})
    data = {"synthetic": [{"path": write_shard(tmp_path / "s.h5")}],
            "real": [{"root": write_folder(tmp_path / "real", ["a"])}]}  # fmt: skip
    constant, changing = (
        gather(DataSettings(**data, real_fraction=share), classes)
        for share in (0.3, {"start": 0.1, "end": 0.5})
    )  # fmt: skip
    np.testing.assert_allclose(constant.class_share, changing.class_share)


def test_an_interrupted_annealed_run_ends_with_the_same_weights(tmp_path, monkeypatch):
    data = {"synthetic": [{"path": write_shard(tmp_path / "s.h5")}],
            "real": [{"root": write_folder(tmp_path / "real", ["a", "b"])}],
            "real_fraction": {"start": 0, "end": 1, "shape": "cosine"}}  # fmt: skip
    fit(config(tmp_path / "whole", data))
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            fit(config(tmp_path / "broken", data))
    assert fit(config(tmp_path / "broken", data)).resumed_at == 3
    whole, broken = (
        torch.load(tmp_path / run / "last.ckpt", weights_only=True)["state_dict"] for run in ("whole", "broken")
    )
    assert all(torch.equal(tensor, broken[name]) for name, tensor in whole.items())
