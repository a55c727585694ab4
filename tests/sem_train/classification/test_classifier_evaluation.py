"""Evaluation: scores that are known, what is left out, what is written; and arms that are compared."""

import csv
import json
import math

import numpy as np
import pytest
from fake_particles import CHANNELS, CLASSES, config, write_folder, write_shard
from PIL import Image
from typer.testing import CliRunner

from sem_train.__main__ import app
from sem_train.classification.comparison import CellResult, compared, run_comparison
from sem_train.classification.evaluation import Result, evaluate_classifier, thinned_to
from sem_train.classification.experiment import ClassifyExperiment, plan_classify_cells
from sem_train.classification.naming import read_confusion
from sem_train.classification.scoring import accuracy_interval, confusion, macro_f1, wilson
from sem_train.classification.sources import UNKNOWN
from sem_train.classification.training import fit_classifier
from semforge.cli import console
from semforge.errors import InputError
from semforge.settings import validate

pytestmark = pytest.mark.usefixtures("one_thread")


def test_wilsons_interval():
    """81 of 263, an example of Newcombe 1998."""
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert all(math.isnan(x) for x in wilson(0, 0))


def test_confusion_and_macro_f1():
    truth, named = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 0, 1, 1, 2, 3])
    assert confusion(truth, named, 4).tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    # F1: 2·2/(3+2), 2·1/(2+2), 1; nothing is of class 2
    assert macro_f1(truth, named, 4) == pytest.approx((0.8 + 0.5 + 1) / 3)


def test_the_interval_is_wider_where_particles_of_a_specimen_share_their_luck():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 25)
    independent = rng.random(1000) < 0.8
    shared = np.repeat(rng.random(40) < 0.8, 25)
    narrow, wide = (np.ptp(accuracy_interval(right, groups)) for right in (independent, shared))
    assert abs(narrow - 2 * 1.96 * math.sqrt(0.16 / 1000)) < 0.015
    assert abs(wide - 2 * 1.96 * math.sqrt(shared.mean() * (1 - shared.mean()) / 40)) < 0.05
    assert all(math.isnan(x) for x in accuracy_interval(np.ones(3, bool), np.arange(3)))


def test_thinned_spectra_have_about_so_many_counts():
    spectra = np.full((200, 50), 20, np.uint16)
    spectra[:100] = 1
    thinned = thinned_to(spectra, 100)
    assert (thinned[:100] == 1).all() and thinned.dtype == np.uint16
    assert abs(thinned[100:].sum(axis=1).mean() - 100) < 3
    assert abs(thinned[100:].sum(axis=1).std() - math.sqrt(90)) < 2


def test_what_is_rejected_has_a_column_of_its_own():
    """Of three discs one is taken for a square and one is rejected, of two squares one is, so is a stranger."""
    labels, names = np.array([0, 0, 0, 1, 1, UNKNOWN]), np.arange(6).astype(str)
    rejected = np.array([0, 0, 1, 1, 0, 1], bool)
    result = Result("both", None, names, names, labels, np.zeros(6), np.eye(2)[[0, 1, 0, 1, 1, 0]], rejected)
    assert result.confusion.tolist() == [[1, 1, 1], [0, 1, 1]]
    assert [share for share, *_ in result.recalls] == [pytest.approx(2 / 3), 1.0]
    assert [share for share, *_ in result.recalls_less_rejected] == [pytest.approx(1 / 3), 0.5]
    assert result.recalls[0][1:] == wilson(2, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained classifier of both inputs, whose last four samples but two were left out."""
    folder = tmp_path_factory.mktemp("trained")
    data = {"synthetic": [{"path": write_shard(folder / "a.h5", 14), "held_out": 2, "excluded": 4}]}
    fit_classifier(config(folder / "run", data, steps=80, val_every=80, learning_rate=5e-3))
    return folder / "run"


def test_what_the_settings_exclude_is_tested_on(run):
    evaluation = evaluate_classifier(run, counts=[10, 200])
    assert [(r.view, r.at_most_counts) for r in evaluation.results] == [
        ("picture and spectrum", None), ("picture alone", None), ("spectrum alone", None),
        ("picture and spectrum", 200), ("spectrum alone", 200),
        ("picture and spectrum", 10), ("spectrum alone", 10),
    ]  # fmt: skip
    first = evaluation.results[0]
    assert len(first.labels) == 24 and len(set(first.groups)) == 4 and first.accuracy >= 0.95
    assert abs(evaluation.results[4].counts.mean() - 200) < 10
    assert evaluation.results[6].labels.size < 24  # about half have fewer than the ten that are asked for


def test_what_was_trained_on_is_left_out(run):
    assert len(evaluate_classifier(run, run.parent / "a.h5").results[0].labels) == 24
    assert len(evaluate_classifier(run, run.parent / "a.h5", include_seen=True).results[0].labels) == 14 * 6
    with pytest.raises(InputError, match="has seen all 2 samples and pictures"):
        evaluate_classifier(run, write_shard(run.parent / "again.h5", 2))
    with pytest.raises(InputError, match="is of class disc, expected what is of none"):
        evaluate_classifier(run, unknown=["disc"])


def test_real_pictures_are_listed_in_yaml(run, tmp_path):
    root = write_folder(tmp_path / "real")
    (tmp_path / "test.yaml").write_text(f"real: [{{root: {root}}}]\n")
    results = evaluate_classifier(run, tmp_path / "test.yaml").results
    assert len(results[0].labels) == 12 and not results[0].counts.any()
    with pytest.raises(InputError, match="no spectra that could be thinned"):
        evaluate_classifier(run, tmp_path / "test.yaml", counts=[100])


def test_tables_and_picture_are_written(run):
    result = CliRunner().invoke(app, ["classify", "evaluate", str(run), "--counts", "100", "--json"])
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    folder = run / "evaluation"
    assert json.loads((folder / "scores.json").read_text()) == scores
    first = scores["results"][0]
    assert first["particles"] == 24 and sum(map(sum, first["confusion"])) == 24
    assert first["confusion_columns"] == ["disc", "square", "bar", "rejected"]
    table = [line.split(",") for line in (folder / "confusion.csv").read_text().splitlines()]
    assert table[0] == ["class", *first["confusion_columns"]]
    known = read_confusion(folder / "confusion.csv", ("disc", "square", "bar"))
    assert known.counts.tolist() == first["confusion"]
    low, high = first["recall"]["disc"]["interval"]
    assert low <= first["recall"]["disc"]["recall"] <= high
    rows, results = (list(csv.DictReader((folder / name).read_text().splitlines())) for name in
                     ("particles.csv", "scores.csv"))  # fmt: skip
    right = np.mean([row["class"] == row["named"] for row in rows])
    assert right == pytest.approx(first["accuracy"]) and len(rows) == 24
    assert sum(float(rows[0][f"p_{name}"]) for name in ("disc", "square", "bar")) == pytest.approx(1, abs=1e-3)
    assert len(results) == len(scores["results"])
    with Image.open(folder / "evaluation.png") as picture:
        assert picture.size[0] > 600


def test_bad_counts_are_refused(run):
    result = CliRunner().invoke(app, ["classify", "evaluate", str(run), "--counts", "100,many"])
    assert isinstance(result.exception, InputError) and "'many' is no number" in str(result.exception)


def experiment(tmp_path, **changes):
    root, path = write_folder(tmp_path / "real"), write_shard(tmp_path / "a.h5", 4, counts=None)
    values = {
        "name": "tiny", "out": str(tmp_path / "out"), "reference": "real", "folds": ["1", "2"], "seeds": [0, 1],
        "arms": {
            "real": {}, "synthetic": {"changes": {"data.real_fraction": 0}},
            "pretrained": {"changes": {"training.steps": 1},
                           "pretraining": {"changes": {"data.real_fraction": 0}}},
        },
        "plan": {
            "classes": CLASSES, "augment": {},
            "data": {"real": [{"root": str(root), "fold": "fold"}], "synthetic": [{"path": str(path)}],
                     "real_fraction": 1, "crops": {"side_px": 32}, "spectra": {"channels": CHANNELS}},
            "model": {"name": "image", "image": {"width": 8}, "width": 16},
            "training": {"steps": 2, "batch_size": 6, "precision": "32", "tensorboard": False},
        },
    }  # fmt: skip
    return validate({**values, **changes}, ClassifyExperiment, "test")


def test_cells_of_an_experiment(tmp_path):
    cells = {cell.name: cell for cell in plan_classify_cells(experiment(tmp_path))}
    assert set(cells) == {*(f"{arm}-fold{f}-seed{s}" for arm in ("real", "pretrained") for f in (1, 2) for s in (0, 1)),
                          "synthetic-seed0", "synthetic-seed1"}  # fmt: skip
    one = cells["pretrained-fold1-seed1"]
    assert [t.training.steps for t in one.trainings] == [1, 1] or one.trainings[0].training.steps == 1
    assert one.trainings[1].data.real[0].excluded == ("1",) and one.trainings[0].data.real[0].excluded == ("1", "2")
    assert one.trainings[1].model.start_from == one.trainings[0].out
    assert one.trainings[0].out == cells["pretrained-fold2-seed1"].trainings[0].out
    assert one.trainings[0].out != cells["pretrained-fold1-seed0"].trainings[0].out
    with pytest.raises(InputError, match=r"arm 'real': .*did you mean 'steps'"):
        plan_classify_cells(experiment(tmp_path, arms={"real": {"changes": {"training.stepps": 3}}}))


def test_arms_are_trained_tested_and_compared(tmp_path):
    settings = experiment(tmp_path, seeds=[0])
    run_comparison(settings, console)
    results = {r.arm: r for r in compared(settings)}
    assert {arm: r.trainings for arm, r in results.items()} == {"real": 2, "synthetic": 1, "pretrained": 2}
    assert all(r.particles == 12 for r in results.values())
    before = (tmp_path / "out" / "cells" / "real-fold1-seed0" / "result.json").stat().st_mtime_ns
    run_comparison(settings, console)
    assert (tmp_path / "out" / "cells" / "real-fold1-seed0" / "result.json").stat().st_mtime_ns == before


def test_differences_are_paired_by_specimen_and_seed(tmp_path):
    """Of answers written by hand: the reference is right in 8 of 12 pictures, synthetic in 11."""
    settings = experiment(tmp_path, seeds=[0])
    for cell in plan_classify_cells(settings):
        names = [f"{k}_{i}" for k in "abc" for i in range(4) if cell.fold in (None, str(i % 2 + 1))]
        labels = [i % 3 for i, _ in enumerate(names)]
        wrong = {"real": {"a_0", "a_1", "b_0", "c_3"}, "synthetic": {"a_0"}, "pretrained": set()}[cell.arm]
        named = [label + (name in wrong) for name, label in zip(names, labels, strict=True)]
        cell.folder.mkdir(parents=True)
        cell.result.write_text(json.dumps(vars(CellResult(names, names, labels, named))))
    results = {r.arm: r for r in compared(settings)}
    assert results["real"].accuracy == pytest.approx(8 / 12) and math.isnan(results["real"].difference)
    synthetic = results["synthetic"]
    assert synthetic.difference == pytest.approx(3 / 12)
    assert synthetic.difference_low < 3 / 12 < synthetic.difference_high
    assert synthetic.p == pytest.approx(2 / 8)  # three differences of one sign
