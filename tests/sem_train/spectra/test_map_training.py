"""Trainings that are stopped, continued and refused; what a trained network says and what it refuses to say."""

import numpy as np
import pytest
import torch
from spectra_data import AXIS, PHASES, expected, write_point
from spectra_runs import tiny_config

from sem_train.spectra import training
from sem_train.spectra.evaluating import evaluate
from sem_train.spectra.model import load_model
from sem_train.spectra.named import UNCLASSIFIED
from sem_train.spectra.network import SpectrumNetwork, spectra_input
from sem_train.spectra.settings import DataSettings
from sem_train.spectra.training import fit
from semforge.errors import InputError
from semforge.spectra import EnergyAxis

NAMES = list(PHASES)


def drawn(name: str, dose: float, count: int = 50, seed: int = 4) -> np.ndarray:
    spectrum = expected(name) / expected(name).sum()
    return np.random.default_rng(seed).poisson(spectrum * dose, (count, 128))


def test_inputs_are_roots_of_shares_and_do_not_know_the_brightness_but_the_evidence():
    counts = torch.tensor([[4.0, 0.0, 12.0, 0.0], [40.0, 0.0, 120.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    found = spectra_input(counts)
    assert found.shape == (3, 5)
    assert found[0, :4].numpy() == pytest.approx([1, 0, 3**0.5, 0], abs=1e-6)
    assert torch.equal(found[0, :4], found[1, :4])
    assert found[0, 4] < found[1, 4]
    assert torch.equal(found[2], torch.zeros(5))


def test_inputs_are_the_same_from_integers_and_floats():
    counts = np.random.default_rng(0).poisson(2, (5, 64))
    as_floats = spectra_input(torch.as_tensor(counts, dtype=torch.float32))
    assert torch.equal(spectra_input(counts.astype(np.uint16)), as_floats)


def test_the_network_is_of_the_channels_it_was_made_for():
    network = SpectrumNetwork(100, 3, width=24)
    inputs = spectra_input(np.ones((2, 100)))
    assert network(inputs).shape == (2, 3)
    assert network.features(inputs).shape == (2, 24)


def test_it_names_what_it_was_taught(tiny_model):
    for k, name in enumerate(NAMES):
        assert (tiny_model.named(drawn(name, 2000)).labels == k).mean() > 0.9


def test_probabilities_sum_to_one_and_grow_with_the_counts(tiny_model):
    faint, bright = (tiny_model.probabilities(drawn("calcite", dose)) for dose in (15, 5000))
    assert faint.sum(-1) == pytest.approx(np.ones(50), abs=1e-5)
    assert bright[:, 1].mean() > faint[:, 1].mean()


def test_soft_shares_follow_the_mixture(tiny_model):
    pure = [expected(name) / expected(name).sum() for name in ("quartz", "calcite")]
    shares = [
        tiny_model.probabilities((20_000 * (f * pure[0] + (1 - f) * pure[1]))[None])[0, 0] for f in (0.1, 0.5, 0.9)
    ]
    assert shares[0] < shares[1] < shares[2]
    assert shares[1] == pytest.approx(0.5, abs=0.25)


def test_an_empty_or_faint_spectrum_has_no_name(tiny_model):
    counts = np.zeros((2, 128))
    counts[1, 43] = 9
    assert tiny_model.named(counts).labels.tolist() == [UNCLASSIFIED, UNCLASSIFIED]


def test_a_spectrum_like_none_of_the_classes_has_no_name(tiny_model):
    energies = AXIS.energies_kev
    strange = 2e4 * np.exp(-0.5 * ((energies - 2.8) / 0.08) ** 2) / 5
    named = tiny_model.named(np.stack([strange, 1e4 * expected("quartz") / expected("quartz").sum()]))
    assert named.labels.tolist() == [UNCLASSIFIED, 0]
    assert named.distance[0] > 1 > named.distance[1]


def test_no_spectrum_at_all_is_no_error(tiny_model):
    assert tiny_model.named(np.zeros((0, 128))).labels.shape == (0,)


def test_another_axis_is_rebinned_where_nothing_is_lost_and_refused_where_it_is(tiny_model):
    fine = EnergyAxis(512, 10.0, -15.0)
    joined = tiny_model.on_axis(np.ones((1, 512), np.uint16), fine)
    assert joined.sum() == 512
    with pytest.raises(InputError, match="64 channels of 80 eV from 0, 128 channels of 40 eV from 0"):
        tiny_model.on_axis(np.ones((1, 64)), EnergyAxis(64, 80.0))


def test_a_beam_that_was_not_learnt_is_said(tiny_model):
    assert tiny_model.beam_note(15.0) is None
    assert "5 kV, the network has learnt 15 kV" in tiny_model.beam_note(5.0)


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(tmp_path, one_thread, monkeypatch):
    whole = tiny_config(tmp_path, "whole", steps=30, val_every=10)
    fit(whole)
    stopped = tiny_config(tmp_path, "stopped", steps=30, val_every=10)
    step = training.Learner.training_step
    made = []

    def dies(self, batch, number):
        if len(made) == 14:
            raise RuntimeError("power cut")
        made.append(number)
        return step(self, batch, number)

    monkeypatch.setattr(training.Learner, "training_step", dies)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(stopped)
    monkeypatch.setattr(training.Learner, "training_step", step)
    assert fit(stopped).resumed_at == 10
    one, other = (load_model(tmp_path / name, "32") for name in ("whole", "stopped"))
    for key, weight in one.network.state_dict().items():
        assert torch.equal(weight, other.network.state_dict()[key]), key
    assert one.temperature == other.temperature
    assert one.novelty.limits.tolist() == other.novelty.limits.tolist()
    assert "was finished before" in fit(stopped).summary()


def test_a_score_on_what_was_learnt_is_not_called_held_out(tmp_path):
    for name in PHASES:
        write_point(tmp_path / "points" / name / "only.msa", drawn(name, 5000, 1)[0])
    config = tiny_config(tmp_path, steps=2, val_every=2)
    own = config.model_copy(
        update={"data": DataSettings(points=[{"path": tmp_path / "points"}]), "out": tmp_path / "own"}
    )
    for _ in range(2):  # also of a run that was finished before
        assert ", training accuracy" in fit(own).summary()
    model = load_model(own.out, "32")
    assert model.score_note.startswith("nothing of albite, calcite, hematite, quartz was held out: ")
    said = []
    evaluate(own.out, tmp_path / "scores", [tmp_path / "points"], ["network"], told=said.append)
    assert said[-2:] == [model.score_note, f"{tmp_path / 'points'}: 4 of 4 spectra were learnt and are scored: scores "
                         "are too good"]  # fmt: skip
    assert "4 of 4 spectra were learnt" in (tmp_path / "scores" / "scores.html").read_text(encoding="utf-8")
    write_point(tmp_path / "points" / "quartz" / "new.msa", drawn("quartz", 5000, 1)[0])
    moved = own.model_copy(update={"out": tmp_path / "moved", "data": own.data.model_copy(update={"held_out": 0.5})})
    fit(moved)
    rows = evaluate(moved.out, tmp_path / "scores", [tmp_path / "points"], ["network"], told=said.append)
    assert said[-1] == f"{tmp_path / 'points'}: 4 of 5 spectra were learnt and are left out"
    assert [row.scores.spectra for row in rows] == [1]


def test_a_folder_with_other_settings_is_not_overwritten(tmp_path):
    fit(tiny_config(tmp_path, steps=2, val_every=2))
    with pytest.raises(InputError, match=r"training\.steps was 2, now 3"):
        fit(tiny_config(tmp_path, steps=3, val_every=2))


def test_what_is_no_network_of_spectra_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="is no network of spectra"):
        load_model(tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "nowhere.ckpt")


def test_classes_that_cannot_be_there_are_never_named(tiny_model):
    between = tiny_model.only(["calcite", "albite"])
    probabilities = between.probabilities(drawn("quartz", 300))
    assert probabilities.sum(-1) == pytest.approx(np.ones(50), abs=1e-5)
    assert probabilities[:, [0, 2]].max() == 0
    assert tiny_model.only([]) is tiny_model
    with pytest.raises(InputError, match="class 'gold' is not known, the network knows quartz"):
        tiny_model.only(["gold"])
