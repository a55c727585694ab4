"""The page of analysed micrographs, without a browser: what it says and how it is written."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fake_analysis import BOTTOM, CLASSES, PIXEL, TOP, add_image, batch, rows_of, write_folder
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from sem_train.__main__ import app
from sem_train.analysis.record import FOLDER_FILE, Failure, SpecimenRecord
from sem_train.certificate.charts import histogram, nice_ticks, outline, profile_chart
from sem_train.certificate.keys import key_results
from sem_train.certificate.numbers import (
    expanded,
    interval,
    joined,
    shown,
    stated,
    typeset,
    unit_text,
    with_uncertainty,
)
from sem_train.certificate.page import render, write_certificate
from sem_train.certificate.pictures import budget, mask_uri, pattern, pictures, shrunk
from sem_train.certificate.reading import read_analysed
from sem_train.certificate.table import table_lines
from sem_train.certificate.words import Values, quantity_name
from sem_train.measure.tables.rows import Row
from semforge.errors import InputError

VOID = {"meta", "link", "img", "input", "br", "line", "rect", "path", "use"}


class Page(HTMLParser):
    """Elements by tag with their attributes, and the text; fails on tags that do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.text, self.problems = [], [], "", []
        self.feed(text)
        assert not self.problems and not self.open, (self.problems[:3], self.open)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append((tag, self.getpos()))

    def handle_data(self, text):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += f" {text}"

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def plain(text):
    return " ".join(re.sub(r"[\u202f\u00a0]", " ", text).split()).replace(" :", ":")


def page_of(folder, **options):
    return Page(render(read_analysed(folder), **options))


def picture_in(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize(
    ("value", "half", "unit", "text"),
    [
        (12.345, 0.42, "um", "12.3 ± 0.4 µm"),
        (12.345, 0.142, "um", "12.35 ± 0.14 µm"),
        (12.345, 0.96, "um", "12.3 ± 1.0 µm"),
        (1234.0, 180.0, "um", "1230 ± 180 µm"),
        (1234.0, 400.0, "um", "1200 ± 400 µm"),
        (-6.75, 0.3, "deg", "−6.8 ± 0.3°"),
        (4.26, 0.9, "%", "(4.3 ± 0.9) %"),
        (12.345, None, "um^2", "12.3 µm²"),
        (0.0, 0.2, "um", "0.00 ± 0.20 µm"),
        (0, None, "", "0"),
        (123456, None, "", "123 456"),
        (None, None, "um", "–"),
        (float("nan"), None, "", "–"),
    ],
)
def test_numbers_are_rounded_to_their_uncertainty(value, half, unit, text):
    assert plain(with_uncertainty(value, half, unit)) == text


def test_small_numbers_are_written_with_a_power_of_ten():
    assert plain(joined(shown(0.0000123456), "1/um^2")) == "1.23 × 10⁻⁵ µm⁻²"
    assert plain(shown(1e-300)) == "1.00 × 10⁻³⁰⁰"
    assert plain(shown(-2.5e7, 4e5)) == "−2.50 × 10⁷"
    assert plain(shown(0.0000999999)) == "1.00 × 10⁻⁴"


@given(st.floats(-1e12, 1e12), st.floats(1e-15, 1e12))
def test_every_number_can_be_shown_and_read_again(value, half):
    text = plain(shown(value, half)).replace(" ", "").replace("−", "-").replace("×10", "e")
    read = float(text.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    assert abs(read - value) <= max(half, 1e-9 * abs(value), 1e-9)


def test_an_uncertainty_of_nothing_is_none():
    assert stated(100.0, 1e-14, 100.0, 100.0) is None
    assert stated(100.0, 0.0, 100.0, 100.0) is None


def test_units_and_intervals():
    assert unit_text("1/um^2") == "µm⁻²"
    assert unit_text("1/px") == "px⁻¹"
    assert unit_text("px^2") == "px²"
    assert typeset("bias -0.05 um, ISO 21920-2, p-1") == "bias −0.05 µm, ISO 21920-2, p-1"
    assert interval(11.94, 12.72) == "11.9 to 12.7"
    assert interval(-0.02, 0.31) == "−0.02 to 0.31"
    assert interval(None, 2.0) == "–"
    assert expanded(None) == "–"


def test_the_interval_says_the_expanded_uncertainty():
    assert stated(10.0, 0.5, None, None).half == 1.0
    given = stated(10.0, 0.5, 8.6, 11.4)
    assert given.half == pytest.approx(1.4)
    assert given.factor == pytest.approx(2.8)
    assert not given.lopsided
    assert stated(10.0, 0.5, 9.5, 12.3).lopsided
    assert stated(10.0, None, 9.0, 11.0) is None


def test_quantities_have_names_that_a_reader_knows():
    assert quantity_name("thickness_p05") == "thickness, 5th percentile"
    assert quantity_name("d50_volume") == "D50 by volume"
    assert quantity_name("outer_Ra") == "outer interface, Ra"
    assert quantity_name("thickness_p05_fields_still_needed") == "thickness, 5th percentile: fields still needed"
    assert quantity_name("thickness_mean_corrected") == "mean thickness: less the model's bias"
    assert quantity_name("something_new") == "something new"


def keys_of(rows):
    return {key.name: (plain(key.text), plain(key.note)) for key in key_results(Values(rows))}


def test_key_results():
    assert keys_of(rows_of("a", 12.0)) == {
        "Fe2Al5 thickness": ("12.0 ± 0.4 µm", "k = 2.1"),
        "pore area in Fe2Al5": ("(4.3 ± 1.2) %", "k = 2.4"),
        "pore line in Fe2Al5": ("yes, 6.00 ± 0.20 µm deep", "k = 2"),
    }


def test_key_results_say_what_is_no_measurement():
    thickness = lambda **changes: keys_of(rows_of("a", 12.0, **changes))["Fe2Al5 thickness"]
    assert thickness(present=0) == ("absent", "")
    assert thickness(resolved=0)[1] == "not resolved: thinner than 5 pixels"
    assert thickness(usable=60.0) == ("≥ 12.0 ± 0.4 µm", "leaves the frame: a lower bound")
    assert thickness(usable=92.0)[1] == "k = 2.1; 92.0 % of it in the frame"
    assert thickness(standard=None) == ("12.0 µm", "no uncertainty stated")


def test_key_results_of_cracks():
    crack = lambda quantity, value, unit="", **more: Row(
        "a", "crack", "crack", "oxide", quantity, value, unit, "", **more
    )
    none = [crack("count", 0), crack("length_density", 0.0, "1/um")]
    assert keys_of(none) == {"crack length per area of oxide": ("none", "")}
    some = [
        crack("count", 19), crack("length_total", 19.63, "um"),
        crack("length_density", 0.0362, "1/um", standard_uncertainty=0.0115, low_95=0.0132, high_95=0.0592),
        crack("length_density_fields_still_needed", 29, method="ASTM E562, for 10 %"),
    ]  # fmt: skip
    assert keys_of(some) == {
        "crack length per area of oxide": (
            "0.036 ± 0.023 µm⁻¹",
            "19 found; 19.6 µm long in all; k = 2; 29 more fields for ± 10 %",
        )
    }


def test_key_results_of_particles():
    row = lambda quantity, value, unit="": Row("a", "particle", "dust", "", quantity, value, unit, "")
    rows = [row("count", 210.0), row("d50_number", 1.234, "um"), row("d50_volume", 3.456, "um")]
    assert keys_of(rows) == {
        "dust, D50 by number": ("1.23 µm", "no uncertainty stated"),
        "dust, D50 by volume": ("3.46 µm", "no uncertainty stated"),
        "dust, number": ("210", ""),
    }


def test_a_lopsided_interval_is_given_by_its_ends():
    rows = [replace(r, high_95=13.5) if r.quantity == "thickness_mean" else r for r in rows_of("a", 12.0)]
    assert keys_of(rows)["Fe2Al5 thickness"] == ("12.0 µm (11.6 to 13.5)", "95 % interval in brackets")


def test_the_table_has_every_value_and_says_a_note_once():
    noted = [replace(row, note=f"tilted; u: {row.value}") if row.kind == "layer" else row for row in rows_of("a", 12.0)]
    lines = table_lines(noted)
    assert len(lines) == len([row for row in noted if row.value is not None]) == 10
    assert [line.note for line in lines][:3] == ["tilted; u: 1", "u: 12.0", "u: 0.5"]
    mean = next(line for line in lines if line.quantity == "mean thickness")
    assert (mean.value, mean.unit, mean.uncertainty, mean.interval) == ("12.0", "µm", "0.4", "11.6 to 12.4")
    assert mean.method == "ISO 1463:2021"
    assert [line.value for line in lines if line.quantity == "present"] == ["yes", "yes"]


def test_the_mask_has_the_colours_of_the_classes_and_is_clear_elsewhere():
    labels = np.repeat(np.array([0, 1, 2, 3], dtype=np.uint8), 24)[None].repeat(48, axis=0)
    pixels = np.asarray(picture_in(mask_uri(labels, CLASSES)).convert("RGBA"))
    assert not pixels[labels == 0][:, 3].any()
    for kind in CLASSES[1:]:
        here = pixels[labels == kind.id]
        assert {tuple(p) for p in here[:, :3]} == {kind.colour}
        assert len(set(here[:, 3])) == 2  # the pattern: not by colour alone


def test_patterns_differ():
    seen = {pattern(k, (48, 48)).tobytes() for k in range(7)}
    assert len(seen) == 7


def test_thin_classes_survive_shrinking():
    labels = np.ones((400, 400), dtype=np.uint8)
    labels[:, 201] = 3
    assert (shrunk(labels, (100, 100), [3]) == 3).any(axis=1).all()
    assert not (shrunk(labels, (100, 100), []) == 3).any()


def test_pictures_keep_to_their_budget(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1600), dtype=np.uint8)
    record = add_image(tmp_path, "a", size=(1200, 1600))
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=95)
    limit = budget(200)
    assert (limit.longest_px, limit.bytes) == (1000, 120_000)
    seen = pictures(tmp_path, record, limit)
    assert max(seen.width, seen.height) <= 1000
    assert len(base64.b64decode(seen.micrograph.partition(",")[2])) <= 120_000
    assert picture_in(seen.mask).size == picture_in(seen.micrograph).size == (seen.width, seen.height)


def test_classes_are_named_where_they_are(tmp_path):
    seen = pictures(tmp_path, add_image(tmp_path, "a"), budget(1))
    place = {name.text: name.y * 120 for name in seen.names}
    assert TOP < place["Fe2Al5"] < BOTTOM < place["steel"]
    assert "resin" not in place


def test_outline_and_normals_lie_on_the_layer(tmp_path):
    drawn = outline("Fe2Al5", add_image(tmp_path, "a").profiles["Fe2Al5"], 0.5)
    numbers = [float(v) for v in re.findall(r"-?[\d.]+", drawn.normals)]
    assert set(numbers[1::2]) == {TOP - 0.5, BOTTOM - 0.5}
    assert len(numbers) == 4 * 38  # of 40 normals one is not measured and one finds no layer
    assert {float(v) for v in re.findall(r"M[\d.]+ ([\d.]+)", drawn.boundaries)} == {TOP - 0.5, BOTTOM - 0.5}


def test_the_profile_lies_under_the_image(tmp_path):
    record = add_image(tmp_path, "a")
    chart = profile_chart("Fe2Al5", record.profiles["Fe2Al5"], (160, 120), PIXEL, 200)
    assert chart.follows_image
    assert chart.span == 160 * PIXEL
    x, thickness, ends = chart.stations[10]
    assert thickness in (0, 12)
    assert x == pytest.approx(100 * (ends[0] + 0.5) / 160, abs=0.01)
    assert chart.line.count("M") == 2  # interrupted where nothing was measured
    assert 0 <= chart.mean_at <= 100


def test_the_profile_of_an_upright_layer_runs_along_it(tmp_path):
    profile = add_image(tmp_path, "a").profiles["Fe2Al5"]
    turned = profile.model_copy(
        update={side: tuple((y, x) for x, y in getattr(profile, side)) for side in ("outer_xy", "inner_xy")}
    )
    chart = profile_chart("Fe2Al5", turned, (120, 160), PIXEL, 200)
    assert not chart.follows_image
    assert chart.span == profile.along[-1]
    assert chart.stations[0][0] == 0
    assert chart.stations[-1][0] == 100


def test_histograms_hold_every_value():
    values = np.random.default_rng(1).lognormal(0, 0.5, 500)
    h = histogram("pore", "um", "#000", values, objects=True)
    assert h.count == 500
    assert sum(round(height / 100 * h.highest) for _, _, height in h.bars) == 500
    assert h.median == pytest.approx(np.median(values))
    last = [float(v) for v in h.cumulative.rpartition("L")[2].split()]
    assert last[1] == 0  # the curve ends at 100 %
    assert histogram("pore", "um", "#000", [1.0, 2.0], objects=True) is None
    assert histogram("pore", "um", "#000", [3.0] * 9, objects=False).count == 9


def test_ticks_are_round():
    assert nice_ticks(0, 92.5, 5) == [0, 20, 40, 60, 80]
    assert nice_ticks(1, 1, 5) == []


def test_the_page_of_a_specimen(tmp_path):
    write_folder(tmp_path, [add_image(tmp_path, "a")])
    page = page_of(tmp_path)
    text = plain(page.text)
    assert text.startswith("Specimen A Skip to the results Specimen A")
    for said in ("12.0 ± 0.4 µm", "(4.3 ± 1.2) %", "yes, 6.00 ± 0.20 µm deep", "ISO 1463:2021", "ASTM E2109",
                 "sem-train analyse scans/*.tif", "runs/unet", "10 µm"):  # fmt: skip
        assert said in text, said
    assert "Before believing it" not in text
    assert page.all("html")[0]["lang"] == "en"


def test_a_page_needs_nothing_else(tmp_path):
    batch(tmp_path, 3)
    text = render(read_analysed(tmp_path))
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "@import" not in text
    assert "http" not in text


def test_everything_has_a_name(tmp_path):
    batch(tmp_path, 3)
    page = page_of(tmp_path)
    assert all("alt" in image for image in page.all("img"))
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for a in page.all("a")}
    assert links <= set(ids)


def test_warnings_come_first_and_name_their_images(tmp_path):
    records = [
        add_image(tmp_path, "thin", resolved=0),
        add_image(tmp_path, "cut", usable=50.0),
        add_image(tmp_path, "bare", pixel_size_um=None, unit="px", scale_source="none"),
        add_image(tmp_path, "bar", scale_source="scale_bar"),
        add_image(tmp_path, "unsure", rows=tuple(replace(r, standard_uncertainty=None) for r in rows_of("unsure", 12))),
    ]
    write_folder(tmp_path, records, (Failure(source="scans/torn.tif", reason="cannot be read as an image"),))
    text = plain(page_of(tmp_path).text)
    first, rest = text.split("Before believing it")[1].split("Images", 1)
    for said in (
        "scans/torn.tif: Not analysed: cannot be read as an image",
        "too thin to be resolved: its thickness is no measurement. thin",
        "leaves the frame: its thickness is a lower bound. cut",
        "No scale is known: lengths are in pixels. bare",
        "read off the scale bar and confirmed by the operator, not taken from the file. bar",
        "No uncertainty is stated: neither the calibration of the scale nor the model's error is known. unsure",
    ):
        assert said in first, said
        assert said.split(".")[0] in rest or "torn" in said


def test_what_the_record_says_is_not_said_twice(tmp_path):
    said = ("Fe2Al5: unresolved: 3.1 px thick, 5 px needed.", "No scale: lengths are in pixels.")
    write_folder(tmp_path, [add_image(tmp_path, "a", resolved=0, pixel_size_um=None, unit="px", warnings=said)])
    text = plain(page_of(tmp_path).text)
    assert all(one in text for one in said)
    assert "too thin" not in text
    assert "No scale is known" not in text


def test_equal_warnings_are_said_once(tmp_path):
    write_folder(tmp_path, [add_image(tmp_path, f"i{k}", warnings=("charged",)) for k in range(5)])
    text = plain(page_of(tmp_path).text.split("Images")[0])
    assert text.count("charged.") == 1
    assert "charged. All 5 images" in text


def test_what_holds_for_all_images_is_not_said_at_each(tmp_path):
    records = [
        add_image(tmp_path, f"i{k}", warnings=("model error unknown", *(["charged"] * (k == 1)))) for k in range(3)
    ]
    write_folder(tmp_path, records)
    text = plain(page_of(tmp_path).text)
    assert text.count("model error unknown.") == 1
    assert text.count("charged.") == 2


def test_specimens_come_first_in_a_batch(tmp_path):
    batch(tmp_path, 6)
    page = page_of(tmp_path)
    text = plain(page.text)
    assert "3 specimens" in text
    assert text.index("9.5 ± 0.4 µm") < text.index("9.0 ± 0.4 µm")  # combined over fields, before its images
    assert "1 not analysed" in text
    assert len(page.all("article")) == 6


def test_fields_that_nobody_combined_are_no_result(tmp_path):
    write_folder(tmp_path, [add_image(tmp_path, f"i{k}", mean=10.0 + k) for k in range(3)])
    assert "10.0 to 12.0 µm Fe2Al5 thickness, 3 fields, not combined" in plain(page_of(tmp_path).text)


def test_lines_and_layers_are_counted_over_fields(tmp_path):
    lineless = tuple(
        replace(r, value=0) if (r.kind, r.quantity) == ("line", "present") else r for r in rows_of("c", 12.0)
    )
    records = [add_image(tmp_path, "a"), add_image(tmp_path, "b", present=0), add_image(tmp_path, "c", rows=lineless)]
    combined = SpecimenRecord(name="A", images=("a", "b", "c"), rows=rows_of("A", 12.0)[:8])
    write_folder(tmp_path, records, specimens=(combined,))
    text = plain(page_of(tmp_path).text).split("Over 3 fields")[0]
    assert "Fe2Al5 thickness, k = 2.1; found in 2 of 3 fields" in text
    assert "in 2 of 3 fields pore line in Fe2Al5, 6.00 µm deep" in text


def test_fields_of_different_units_have_no_range(tmp_path):
    in_pixels = tuple(replace(r, unit="px") if r.unit == "um" else r for r in rows_of("b", 48.0))
    write_folder(
        tmp_path, [add_image(tmp_path, "a"), add_image(tmp_path, "b", unit="px", pixel_size_um=None, rows=in_pixels)]
    )
    assert "not combined Fe2Al5 thickness, fields with and without a scale" in plain(page_of(tmp_path).text)


def test_what_no_field_has_the_specimen_has_not(tmp_path):
    write_folder(tmp_path, [add_image(tmp_path, name, present=0) for name in "ab"])
    assert "absent Fe2Al5 thickness" in plain(page_of(tmp_path).text).split("Images")[0]


def test_combined_fields_are_the_result_of_a_specimen(tmp_path):
    records = [add_image(tmp_path, f"i{k}", mean=10.0 + k) for k in range(3)]
    combined = SpecimenRecord(
        name="A", images=("i0", "i1", "i2"), rows=rows_of("A", 11.0, 0.6), warnings=("few fields",)
    )
    write_folder(tmp_path, records, specimens=(combined,))
    text = plain(page_of(tmp_path).text)
    assert "11.0 ± 1.3 µm Fe2Al5 thickness" in text.split("Over 3 fields")[0]
    assert "few fields." in text
    assert "All values of specimen A, 3 fields together" in text


def test_an_image_in_which_nothing_is_measured(tmp_path):
    classes = tuple(c.model_copy(update={"role": "background", "colour": None}) for c in CLASSES)
    write_folder(tmp_path, [add_image(tmp_path, "a", classes=classes, rows=(), profiles={}, distributions={})])
    page = page_of(tmp_path)
    assert "Nothing was measured" in plain(page.text)
    assert "All values" not in page.text
    assert not page.all("table")
    assert not page.all("input")


def test_names_are_text(tmp_path):
    name = "a<b>&\"'</script><script>alert(1)</script>".replace("/", "_")
    record = add_image(tmp_path, "plain", source=f"scans/{name}.tif", specimen=name, warnings=(f"{name} charged",))
    write_folder(tmp_path, [record], (Failure(source=name, reason="<i>torn</i>"),))
    page = page_of(tmp_path, title=f"{name}!")
    assert len(page.all("script")) == 1
    assert not page.all("b") or all("alert" not in str(a) for a in page.all("b"))
    assert not page.all("i") or "torn" not in str(page.all("i"))
    assert f"{name}!" in page.text
    assert f"{name} charged." in page.text


def test_an_image_name_in_attributes(tmp_path):
    name = 'x" onload="alert(1)" \'&lt;'
    write_folder(tmp_path, [add_image(tmp_path, name), add_image(tmp_path, "y")])
    page = page_of(tmp_path)
    assert page.all("img")[0]["alt"] == f"Micrograph {name}"
    assert not any("onload" in attributes for _, attributes in page.found)


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(tmp_path):
    records = [add_image(tmp_path, name) for name in ("good", "lost", "bare")]
    write_folder(tmp_path, records)
    (tmp_path / "lost.json").write_text("{")
    (tmp_path / "bare.jpg").unlink()
    (tmp_path / "bare_labels.tif").write_bytes(b"no tiff")
    page = page_of(tmp_path)
    assert "lost: Left out of this page: lost.json: cannot be read" in plain(page.text)
    assert "bare.jpg is missing or cannot be read: no picture; bare_labels.tif is missing" in plain(page.text)
    assert len(page.all("article")) == 2


def test_a_label_map_of_another_size_is_not_shown(tmp_path):
    record = add_image(tmp_path, "a", width_px=161)
    assert pictures(tmp_path, record, budget(1)).mask == ""


def test_only_the_specimens_asked_for(tmp_path):
    batch(tmp_path, 6)
    assert write_certificate(tmp_path / "p.html", tmp_path, specimens=["S1"]) == 2
    text = plain(Page((tmp_path / "p.html").read_text(encoding="utf-8")).text)
    assert "Specimen S1" in text
    assert "image-000" not in text
    with pytest.raises(InputError, match=r"no specimen 'S9' in .*, it has S0, S1, S2"):
        read_analysed(tmp_path, ["S9"])


def test_a_folder_that_was_not_analysed(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_analysed(tmp_path / "nowhere")
    with pytest.raises(InputError, match=FOLDER_FILE):
        read_analysed(tmp_path)
    write_folder(tmp_path, [])
    with pytest.raises(InputError, match="no analysed images"):
        read_analysed(tmp_path)


def test_a_folder_in_which_all_failed_still_has_a_page(tmp_path):
    write_folder(tmp_path, [], (Failure(source="scans/torn.tif", reason="cannot be read as an image"),))
    text = plain(page_of(tmp_path).text)
    assert "scans/torn.tif: Not analysed" in text


def test_the_command(tmp_path):
    batch(tmp_path, 2)
    result = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "p.html"), "--title", "Tuesday"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("2 images, ")
    assert "<h1>Tuesday</h1>" in (tmp_path / "p.html").read_text(encoding="utf-8")
    refused = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "p.txt")])
    assert isinstance(refused.exception, InputError)
