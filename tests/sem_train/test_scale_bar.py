"""Scale bars read from pictures: a guess that has to be confirmed."""

import os
from pathlib import Path

import numpy as np
import pytest
from drawn_databars import specimen, with_databar, with_scale_bar
from PIL import Image

from sem_train.micrographs import open_micrograph, read_micrograph
from sem_train.micrographs.scale_bar import ScaleBar, read_scale_bar, scale_by_bar
from semforge.errors import InputError

SPECIMEN = specimen(400, 560)
BAR = ScaleBar(200, "10 µm", 10.0, True, (0, 200, 0, 5))


def drawn(label, length, style, typeface="DejaVuSans-Bold", size=24, ink=255):
    if style != "gap":
        return with_scale_bar(SPECIMEN, label, length, style, ink, typeface, size)
    strip = np.full((60, SPECIMEN.shape[1]), 255 - ink, np.uint8)
    return with_scale_bar(np.concatenate([SPECIMEN, strip]), label, length, style, ink, typeface, size, (60, 30))


@pytest.mark.parametrize("style", ["above", "below", "ticks", "gap", "box"])
@pytest.mark.parametrize(("label", "length_um"), [("10 µm", 10), ("200 nm", 0.2), ("0.5 µm", 0.5), ("2 mm", 2000)])
def test_a_bar_is_read_with_its_label(style, label, length_um):
    found = read_scale_bar(drawn(label, 180, style))
    assert found.sure
    assert found.length_um == pytest.approx(length_um)
    assert found.length_px == pytest.approx(180, abs=1)


@pytest.mark.parametrize("typeface", ["DejaVuSans", "DejaVuSansMono", "plain"])
@pytest.mark.parametrize("ink", [0, 255])
def test_other_typefaces_and_black_ink(typeface, ink):
    found = read_scale_bar(drawn("20 µm", 150, "box" if ink == 0 else "below", typeface, 26, ink))
    assert (found.sure, found.length_um, found.length_px) == (True, 20, pytest.approx(150, abs=1))


@pytest.mark.parametrize("typeface", ["DejaVuSerif-Bold", "STIXGeneral", "STIXGeneralBol"])
@pytest.mark.parametrize("size", [13, 20, 30])
def test_typefaces_with_serifs_are_read_right_or_not_at_all(typeface, size):
    found = read_scale_bar(drawn("20 µm", 150, "below", typeface, size))
    assert found is None or not found.sure or (found.length_um, found.length_px) == (20, pytest.approx(150, abs=1))


def test_a_bar_in_a_databar_is_read():
    barred = with_databar(SPECIMEN, 48, fields=("HV 20 kV", "WD 9 mm", ""), size=15)
    picture = with_scale_bar(barred, "40 µm", 160, "gap", 255, "DejaVuSans", 17, (380, 24))
    found = read_scale_bar(picture, slice(400, 448))
    assert (found.sure, found.length_um, found.length_px) == (True, 40, pytest.approx(160, abs=1))
    assert found.box[2] >= 400


@pytest.mark.parametrize("image", [SPECIMEN, np.zeros((200, 300), np.uint8), with_databar(SPECIMEN)])
def test_no_bar_no_reading(image):
    found = read_scale_bar(image)
    assert found is None or not found.sure


def test_a_label_that_cannot_be_read_is_never_used():
    smeared = np.asarray(Image.fromarray(drawn("300 nm", 180, "above", size=14)).resize((187, 133)).resize((560, 400)))
    found = read_scale_bar(smeared)
    assert found is None or not found.sure
    scale = scale_by_bar(ScaleBar(180, "300 nm", 0.3, False, (0, 180, 0, 5)), accepted=True)
    assert (scale.pixel_size_um, scale.source) == (None, "none")
    assert "could not be read surely" in scale.note and "300 nm" in scale.note


def test_a_reading_is_offered_and_taken_only_when_accepted():
    offered, taken = scale_by_bar(BAR, accepted=False), scale_by_bar(BAR, accepted=True)
    assert (offered.pixel_size_um, offered.source) == (None, "none")
    assert "'10 µm'" in offered.note and "0.05 µm a pixel" in offered.note and "--accept-scale-bar" in offered.note
    assert (taken.pixel_size_um, taken.source) == (0.05, "scale_bar")
    absurd = ScaleBar(2, "2 mm", 2000.0, True, (0, 2, 0, 5))
    assert scale_by_bar(absurd, accepted=True).pixel_size_um is None


def test_a_file_has_the_scale_of_its_bar_only_when_accepted(tmp_path):
    Image.fromarray(drawn("10 µm", 200, "below")).save(tmp_path / "m.png")
    plain, accepted = read_micrograph(tmp_path / "m.png"), read_micrograph(tmp_path / "m.png", accept_scale_bar=True)
    assert plain.pixel_size_um is None and "--accept-scale-bar" in plain.scale.note
    assert accepted.scale.source == "scale_bar"
    assert accepted.pixel_size_um == accepted.scale.pixel_size_um == pytest.approx(0.05, rel=0.01)
    given = read_micrograph(tmp_path / "m.png", 0.07, accept_scale_bar=True)
    assert (given.pixel_size_um, given.scale.source) == (0.07, "given")
    with open_micrograph(tmp_path / "m.png", accept_scale_bar=True) as opened:
        assert opened.pixel_size_um == pytest.approx(0.05, rel=0.01)


def test_metadata_come_before_the_bar(tmp_path):
    Image.fromarray(drawn("10 µm", 200, "below")).save(tmp_path / "m.png")
    (tmp_path / "m.txt").write_text("[SemImageFile]\nPixelSize=60\n")
    assert read_micrograph(tmp_path / "m.png", accept_scale_bar=True).pixel_size_um == pytest.approx(0.06)
    with pytest.raises(InputError, match=r"0\.05, but m\.txt PixelSize says 0\.06"):
        read_micrograph(tmp_path / "m.png", 0.05, accept_scale_bar=True)


def test_the_bar_of_a_real_instrument_agrees_with_its_tags():
    root = Path(os.environ.get("SEMFORGE_DATA") or Path(__file__).parents[3] / "shared/real")
    path = root / "instrument/micrograph_BSE.tif"
    if not path.exists():
        pytest.skip("the instrument's files are not at hand")
    read = read_micrograph(path)
    found = read_scale_bar(read.image, read.databar)
    assert (found.sure, found.label) == (True, "40 µm")
    assert found.pixel_size_um == pytest.approx(read.pixel_size_um, rel=0.005)
