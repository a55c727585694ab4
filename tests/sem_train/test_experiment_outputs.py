import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fake_experiment import ASKED, CLASSES, NAMES, experiment, result
from PIL import Image
from rich.console import Console

from sem_train.experiments.analysis import analyse
from sem_train.experiments.outputs import write_outputs
from sem_train.experiments.pictures import cases
from sem_train.experiments.tables import terminal
from sem_train.experiments.verdict import overall, verdicts
from semforge.errors import InputError

RESULTS = experiment()
ABOUT = {"command": "sem-train compare fake.yaml", "config": {"arms": {"mixed": 0.5}, "seeds": [0, 1, 2]}}
FILES = {"experiment.html", "summary.md", "summary.csv", "differences.csv", "images.csv", "results.json", "curves.png"}
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Text, sources and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.sources = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def load(r):
    truth = np.zeros((60, 90), dtype=np.uint8)
    truth[20:40], truth[25:35, 40:42] = 1, 2
    return np.where(truth == 1, 180, 60).astype(np.uint8), truth, np.roll(truth, 1, axis=0)


@pytest.fixture(scope="module")
def analysis():
    return analyse(RESULTS, NAMES, "real_only", ASKED)


@pytest.fixture(scope="module")
def out(tmp_path_factory, analysis):
    folder = tmp_path_factory.mktemp("out")
    write_outputs(folder, "Oxide <and> cracks", analysis, RESULTS, CLASSES, ABOUT, load)
    return folder


def test_all_files_are_there_and_nothing_else(out):
    assert {path.name for path in out.iterdir()} == FILES


def test_page_has_all_its_parts_in_order_and_needs_no_other_file(out, analysis):
    page = Page((out / "experiment.html").read_text(encoding="utf-8"))
    assert page.open == []
    place = 0
    for part in (
        "Oxide <and> cracks", overall(analysis), "Before believing it", "What the answer rests on", "Mean IoU",
        "IoU of crack", "Learning curves", "Best and worst cases", "What explains it", "Error of oxide thickness",
        "How it was done", "commit", "machine", "command", "sem-train compare fake.yaml", "config", "arms",
    ):  # fmt: skip
        found = page.text.find(part, place)
        assert found >= 0, part
        place = found + len(part)
    assert all(verdict.sentence in page.text for verdict in verdicts(analysis))
    assert page.sources and all(source.startswith("data:image/") for source in page.sources)
    for source in page.sources:
        Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).verify()
    assert len(page.sources) == 1 + 4 * len(cases(analysis, RESULTS))
    assert "http" not in page.text and "nan" not in re.findall(r"\w+", page.text.lower())


def test_curves_are_a_picture_of_a_readable_size(out):
    with Image.open(out / "curves.png") as picture:
        picture.load()
        assert picture.format == "PNG" and picture.width >= 1200


def test_summary_has_a_row_for_each_arm_number_and_quantity(out, analysis):
    rows = list(csv.DictReader((out / "summary.csv").read_text().splitlines()))
    assert len(rows) == 7 * len(analysis.quantities)
    row = next(r for r in rows if (r["arm"], r["asked"], r["quantity"]) == ("mixed", "all", "iou_oxide"))
    estimate = analysis.estimate("mixed", "all", "iou_oxide")
    assert float(row["pooled"]) == estimate.pooled and float(row["low"]) == estimate.low
    assert (row["trainings"], row["seeds"], row["most_real_images"], row["better"]) == ("9", "3", "9", "higher")


def test_differences_have_a_row_for_each_comparison_and_quantity(out, analysis):
    rows = list(csv.DictReader((out / "differences.csv").read_text().splitlines()))
    assert len(rows) == 6 * len(analysis.quantities)
    row = next(r for r in rows if (r["arm"], r["asked"], r["quantity"]) == ("synthetic", "all", "mean_iou"))
    assert row["answer"] == "hurts" and float(row["mean"]) < 0 and float(row["p_corrected"]) <= 0.05
    unjudged = [r for r in rows if r["quantity"] == "thickness_bias_px_oxide"]
    assert {(r["answer"], r["p"], r["p_corrected"]) for r in unjudged} == {("", "", "")}


def test_images_have_a_row_for_each_image_and_training(out):
    rows = list(csv.DictReader((out / "images.csv").read_text().splitlines()))
    assert len(rows) == len(RESULTS)
    first = RESULTS[0]
    assert rows[0]["label_map"] == first.label_map and float(rows[0]["true_thickness_px_oxide"]) == 100
    assert {r["iou_crack"] for r in rows if r["specimen"] == "s8"} == {""}
    assert "nan" not in (out / "images.csv").read_text()


def test_results_are_json_without_nan_and_hold_every_row(out, analysis):
    def refuse(word):
        raise AssertionError(word)

    saved = json.loads((out / "results.json").read_text(), parse_constant=refuse)
    assert saved["answer"] == overall(analysis) and saved["about"]["command"] == ABOUT["command"]
    assert saved["about"]["versions"]["torch"] and saved["about"]["machine"]
    assert len(saved["images"]) == len(RESULTS) and len(saved["differences"]) == len(analysis.differences)
    assert {v["answer"] for v in saved["verdicts"]} == {"helps", "hurts", "cannot be told"}


def test_markdown_has_the_answer_and_tables_of_equal_width(out, analysis):
    text = (out / "summary.md").read_text()
    assert f"**{overall(analysis)}**" in text and "## IoU of crack (higher is better)" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1


@pytest.mark.parametrize("width", [80, 140])
def test_terminal_shows_answer_and_numbers_uncut(analysis, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal(analysis))
    shown = console.export_text()
    assert "mixed helps with 1 and 4" in re.sub(r"\s+", " ", shown)
    d = analysis.difference("mixed", "1", "iou_crack")
    assert f"+{d.low:.3f} to +{d.high:.3f}" in shown and "…" not in shown


def test_cases_are_the_extremes(analysis):
    found = cases(analysis, RESULTS)
    value = {(r.arm, r.asked, r.image, r.seed): analysis.quantity("mean_iou").value([r]) for r in RESULTS}
    gains = {key: value[key] - value[("real_only", *key[1:])] for key in value if key[0] == "mixed"}
    best, worst = (c for c in found if c.arm.arm == "mixed")
    assert best.gain == max(gains.values()) > 0 and worst.gain == min(gains.values()) < 0
    assert {c.arm.asked for c in found if c.arm.arm == "synthetic"} == {"none"}
    for case in found:
        assert (case.arm.image, case.arm.seed) == (case.reference.image, case.reference.seed)


@pytest.mark.parametrize("error", [FileNotFoundError("gone.png"), InputError("gone.png: not a label map")])
def test_pictures_that_cannot_be_read_are_named(tmp_path, analysis, error):
    def broken(r):
        raise error

    write_outputs(tmp_path, "x", analysis, RESULTS, CLASSES, {}, broken)
    page = Page((tmp_path / "experiment.html").read_text())
    assert "pictures cannot be read: gone.png" in page.text and len(page.sources) == 1


def test_a_partly_finished_experiment_says_what_is_missing(tmp_path):
    done = [r for r in RESULTS if r.seed == 0 or (r.arm == "real_only" and r.fold == 0)]
    found = analyse(done, NAMES, "real_only", ASKED, missing=["mixed with 16 real images: 3 of 3 trainings"])
    write_outputs(tmp_path, "x", found, done, CLASSES, {}, load)
    page = Page((tmp_path / "experiment.html").read_text())
    assert "not complete: mixed with 16 real images: 3 of 3 trainings" in page.text
    assert "not complete: mixed against real_only with 1 real: the arm lacks 8 of 20 results, of seed 1, 2" in page.text
    assert "one seed" in page.text
    assert {d.seeds for d in found.differences if d.specimens} == {1}


UNFINISHED = {
    "nothing": [], "reference alone": [result("real_only", "a", 0.5)], "no reference": [result("mixed", "a", 0.5)],
    "two specimens": [result(arm, s, 0.5) for arm in ("real_only", "mixed") for s in "ab"],
    "twelve arms": [result(f"arm{k}" if k else "real_only", s, 0.5 + k / 99) for k in range(12) for s in "abcdef"],
    "no real images": [replace(result(arm, s, 0.5, asked="none"), fold=-1) for arm in ("real_only", "x") for s in "ab"],
}  # fmt: skip


@pytest.mark.parametrize("results", UNFINISHED.values(), ids=UNFINISHED)
def test_whatever_is_finished_can_be_reported(tmp_path, results):
    found = analyse(results, NAMES, "real_only", ASKED)
    write_outputs(tmp_path, "x", found, results, CLASSES, {}, load)
    assert Page((tmp_path / "experiment.html").read_text()).open == []
    assert json.loads((tmp_path / "results.json").read_text())["images"] is not None
    Console(file=io.StringIO()).print(terminal(found))
    assert (tmp_path / "curves.png").exists() == bool(results)
