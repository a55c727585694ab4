"""Evaluation with models whose answers are known: the truth itself, and the truth with a known error."""

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from coatings import CLASSES, FE2AL5, FEAL, PORE, STEEL, put_disc, section
from fake_data import CLASSES as FAKE_CLASSES
from fake_data import write_folder
from PIL import Image

from blender_gen.sample import Header, Sample, write_samples
from sem_train import evaluation
from sem_train.agreement import Comparison, agreements
from sem_train.cases import load_cases
from sem_train.classes import ClassMap
from sem_train.config import DataSettings, Plan, SyntheticData
from sem_train.evaluation import evaluate
from sem_train.inference import Prediction, TrainedOn
from sem_train.measure import measure_label_map
from sem_train.report import render_report, scale_bar
from semforge.errors import InputError

PHASES = ("epoxy", "Fe2Al5", "FeAl", "steel", "pore", "precipitate", "crack")
PIXEL_UM = 0.5


@dataclass(frozen=True)
class Oracle:
    """A model that reads the class out of the grey value; `change` then spoils its answer."""

    classes: ClassMap
    config: Plan
    trained_on: TrainedOn = field(default_factory=TrainedOn)
    change: object = staticmethod(lambda labels: labels)

    def predict(self, image):
        labels = self.change((image // 30).astype(np.uint8))
        return Prediction(labels, np.zeros((len(self.classes), *labels.shape), np.float32))


def coating(index):
    """Layers of 40 + index µm and, in even samples, 5 µm FeAl; four pores of 5 µm radius."""
    bottom = 40 + 2 * (40 + index)
    has_feal = index % 2 == 0
    labels = section((220, 256), 40, bottom, bottom + 10) if has_feal else section((220, 256), 40, bottom)
    for column in range(32, 256, 64):
        put_disc(labels, 80, column, 10, PORE)
    area_um2 = 128 * (40 + index)
    pore_um2 = np.count_nonzero(labels == PORE) * PIXEL_UM**2
    truth = {
        "family": "coating",
        "layers": {"Fe2Al5": {"present": True, "mean_um": 40.0 + index, "area_um2": area_um2}}
        | ({"FeAl": {"present": True, "mean_um": 5.0, "area_um2": 640.0}} if has_feal else {}),
        "inclusions": {"pore": {"host": "Fe2Al5", "area_um2": pore_um2}},
        "pore_lines": {"pore": {"host": "Fe2Al5", "present": False, "depth_um": None}},
        "cracks": {},
    }
    return Sample(index=index, image=(labels * 30)[None], phase=labels, instance=np.zeros(labels.shape, np.uint32),
                  pixel_size_um=PIXEL_UM, truth=truth, imaging=[{}])  # fmt: skip


@pytest.fixture
def data(tmp_path):
    header = Header("family: coating", "0" * 64, 0, PHASES, {"bpy": "4.5"}, "CPU")
    write_samples(tmp_path / "data" / "dataset.h5", [coating(i) for i in range(4)], header)
    return tmp_path / "data"


@pytest.fixture
def use(monkeypatch):
    plan = Plan(data=DataSettings(synthetic=(SyntheticData(path=Path("x.h5")),)), classes=CLASSES)
    oracle = Oracle(CLASSES, plan)

    def put(**changes):
        model = replace(oracle, **changes)
        monkeypatch.setattr(evaluation, "load_run", lambda run: model)

    return put


def test_a_perfect_model_has_no_error(data, use):
    use()
    result = evaluate(Path("run"), data)
    assert result.mean_dice == result.mean_iou == 1.0
    thickness, feal, pore, _ = result.agreements
    assert (thickness.name, len(thickness.pairs), len(feal.pairs)) == ("Fe2Al5", 4, 2)
    assert thickness.mean_absolute_error == pytest.approx(0, abs=1e-6)
    assert pore.mean_absolute_error == pytest.approx(0, abs=1e-6)
    layers = {d.name: d for d in result.detections if d.what == "layer"}
    assert (layers["FeAl"].true_positive, layers["FeAl"].true_negative) == (2, 2)


@pytest.mark.parametrize("stored", [True, False])
def test_parts_of_a_layer_that_a_line_splits(stored):
    """With the parts in the truth, and with the depth of the line alone as older data sets have it."""
    labels = section((220, 256), 40, 140)
    for column in range(8, 256, 16):
        put_disc(labels, 80, column, 4, PORE)
    truth = {
        "layers": {"Fe2Al5": {"present": True, "mean_um": 50.0}},
        "pore_lines": {"pore": {"host": "Fe2Al5", "present": True, "depth_um": 20.0}},
    }
    if stored:
        parts = {"line": "pore", "outward": {"mean_um": 20.0, "sd_um": 0.0}, "inward": {"mean_um": 30.0, "sd_um": 0.0}}
        truth["layers"]["Fe2Al5"]["parts"] = parts
    found = {a.name: a for a in agreements([Comparison("a", truth, measure_label_map(labels, CLASSES, 0.5))], CLASSES)}
    outward, inward = found["Fe2Al5, outward part"], found["Fe2Al5, inward part"]
    assert outward.mean_true == 20.0
    assert inward.mean_true == 30.0
    assert outward.bias == pytest.approx(0.0, abs=0.5)
    assert inward.bias == pytest.approx(-outward.bias, abs=0.05)


def test_known_errors_are_reported(data, use):
    def swell(labels):  # Fe2Al5 gains four rows of the resin above, pores and FeAl are missed
        labels = np.where(np.isin(labels, [PORE]), FE2AL5, np.where(labels == FEAL, STEEL, labels))
        labels[36:40] = FE2AL5
        return labels.astype(np.uint8)

    use(change=swell)
    result = evaluate(Path("run"), data / "dataset.h5")
    thickness, feal, pore, _ = result.agreements
    assert thickness.bias == pytest.approx(2.0, abs=1e-6)
    assert thickness.relative_percent(thickness.bias) == pytest.approx(100 * 2 / 41.5)
    assert feal.pairs == ()
    assert pore.bias == pytest.approx(-pore.mean_true)
    layers = {d.name: d for d in result.detections if d.what == "layer"}
    assert layers["FeAl"].false_negative == 2
    dice = {c.name: c.dice for c in result.classes}
    assert dice["FeAl"] == dice["pore"] == 0.0
    assert np.isnan(dice["crack"])


def test_trained_samples_are_left_out(data, use):
    digests = [coating(i).digest for i in range(4)]
    use(trained_on=TrainedOn(samples=frozenset(digests[:3])))
    result = evaluate(Path("run"), data)
    assert (result.left_out, [s.case for s in result.images]) == (3, ["sample 3"])
    assert len(evaluate(Path("run"), data, include_trained=True).images) == 4
    use(trained_on=TrainedOn(samples=frozenset(digests)))
    with pytest.raises(InputError, match="trained on all 4 images"):
        evaluate(Path("run"), data)


def test_json_holds_all_numbers(data, use):
    use()
    found = json.loads(evaluate(Path("run"), data).to_json())
    assert found["mean_dice"] == 1.0
    assert found["classes"]["crack"]["dice"] is None
    assert len(found["per_image"]) == 4
    assert found["measured_against_true"][0]["pairs"][1]["true"] == 41.0


def test_real_folder_leaves_out_seen_specimens(tmp_path, use):
    classes = ClassMap(classes=[{"name": "background", "values": [0]},
                                {"name": "oxide", "role": "layer", "values": [1]}])  # fmt: skip
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    labels = np.zeros((60, 80), np.uint8)
    labels[20:40] = 1
    for name in ("a", "b"):
        Image.fromarray(labels * 30).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(labels).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "index.csv").write_text("name,specimen\na,S1\nb,S2\n")
    use(classes=classes, trained_on=TrainedOn(specimens=frozenset({"S1"})))
    result = evaluate(Path("run"), tmp_path)
    assert [s.case for s in result.images] == ["b"]
    assert result.mean_dice == 1.0
    assert result.agreements == ()
    Image.fromarray(labels * 9).save(tmp_path / "masks" / "b.png")
    with pytest.raises(InputError, match="label value 9"):
        evaluate(Path("run"), tmp_path)


def test_real_data_described_in_a_file(tmp_path, use):
    classes = ClassMap.model_validate({"classes": FAKE_CLASSES})
    write_folder(tmp_path / "real", ["a", "b"])
    described = tmp_path / "real.yaml"
    described.write_text(f"{{root: {tmp_path / 'real'}, index: index.csv, excluded: [b]}}")
    found = load_cases(described, classes)
    assert [(case.name, case.specimen) for case in found.cases] == [("i0", "a")]
    folder = load_cases(tmp_path / "real", classes).cases[0]
    assert found.cases[0].identity == folder.identity
    for one, other in zip(found.cases[0].read(), folder.read(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_data_that_is_none(tmp_path, use):
    use()
    with pytest.raises(InputError, match=r"dataset\.h5"):
        evaluate(Path("run"), tmp_path)
    with pytest.raises(InputError, match="no such file"):
        evaluate(Path("run"), tmp_path / "none.h5")


def test_page_is_complete_in_itself(data, use):
    use()
    page = render_report(evaluate(Path("run"), data, examples=2))
    assert page.count("data:image/jpeg;base64,") == 6
    assert page.count("<svg") == 1
    # nothing is fetched: no address in a source, link or style
    assert not re.search(r"""(src|href)=["'](?!data:|#)|url\((?!["']?#|["']?data:)|@import""", page)
    assert "mean error 0.00" in page
    assert "20 µm" in page
    assert not re.search(r"\bnan\b", re.sub(r"<svg.*?</svg>|base64,[^\"]*", "", page, flags=re.S))


@pytest.mark.parametrize(("width", "pixel", "length"), [(1024, 0.12, 20), (512, 0.2, 20), (300, 0.01, 0.5)])
def test_scale_bar_is_a_round_length(width, pixel, length):
    bar = scale_bar(width, pixel)
    assert bar.length_um == pytest.approx(length)
    assert bar.share == pytest.approx(length / (width * pixel))
