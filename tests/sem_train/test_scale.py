"""Which scale holds, and which is refused."""

from pathlib import Path

import instrument_files as files
import pytest
import tifffile
from PIL import Image

from sem_train.micrographs import open_micrograph, read_micrograph, read_pixel_size_um
from sem_train.micrographs.scale import SizeClaim, stated_scale
from semforge.errors import InputError

PATH = Path("m.tif")


def claims(*sizes):
    return [SizeClaim(f"source {i}", size) for i, size in enumerate(sizes)]


def test_the_file_has_the_word():
    scale = stated_scale(PATH, claims(0.05, 0.0504))
    assert (scale.pixel_size_um, scale.source) == (0.05, "metadata")


def test_a_given_value_is_taken_where_the_file_says_nothing():
    scale = stated_scale(PATH, [], 0.2)
    assert (scale.pixel_size_um, scale.source) == (0.2, "given")


def test_a_given_value_has_to_agree_with_the_file():
    assert stated_scale(PATH, claims(0.05), 0.0504).pixel_size_um == 0.0504
    assert stated_scale(PATH, claims(0.05), 0.0504).source == "given"
    with pytest.raises(InputError, match=r"--pixel-size-um is 0\.051, but source 0 says 0\.05 µm"):
        stated_scale(PATH, claims(0.05), 0.051)


def test_sources_that_contradict_are_refused_with_both_values():
    with pytest.raises(InputError, match=r"source 0 says 0\.05 µm a pixel, source 1 0\.0506 µm"):
        stated_scale(PATH, claims(0.05, 0.0506))
    with pytest.raises(InputError, match=r"source 0 says 0\.05 µm a pixel, source 2 0\.06 µm"):
        stated_scale(PATH, claims(0.05, 0.05, 0.06))


def test_a_given_value_settles_which_of_two_sources_holds():
    assert stated_scale(PATH, claims(0.05, 0.1), 0.1).pixel_size_um == 0.1
    assert "source 1" in stated_scale(PATH, claims(0.05, 0.1), 0.1).note
    with pytest.raises(InputError, match=r"0\.05 µm a pixel, source 1 0\.1 µm"):
        stated_scale(PATH, claims(0.05, 0.1), 0.07)


@pytest.mark.parametrize("size", [0.0, -0.05, 9e-6, 101, float("nan"), float("inf")])
def test_what_cannot_be_the_pixel_of_a_micrograph_is_refused(size):
    with pytest.raises(InputError, match=rf"source 0 says {size:g} µm a pixel, expected 1e-05 to 100 µm"):
        stated_scale(PATH, claims(size))
    with pytest.raises(InputError, match=r"--pixel-size-um is 0\.05"):
        stated_scale(PATH, claims(size), 0.05)
    with pytest.raises(InputError, match=f"--pixel-size-um {size:g}: expected"):
        stated_scale(PATH, [], size)


@pytest.mark.parametrize("size", [1e-5, 100])
def test_the_limits_themselves_are_taken(size):
    assert stated_scale(PATH, claims(size)).pixel_size_um == size


def test_pixels_that_are_no_squares_are_refused_with_both_edges():
    assert stated_scale(PATH, [SizeClaim("tag", 0.05, 0.0504)]).pixel_size_um == 0.05
    with pytest.raises(InputError, match=r"tag says pixels of 0\.05 × 0\.06 µm, expected square"):
        stated_scale(PATH, [SizeClaim("tag", 0.05, 0.06)])


def jpeg_with(path, text):
    Image.fromarray(files.noise()).save(path)
    path.with_suffix(".txt").write_text(text)
    return path


def tescan(tmp_path, **values):
    content = files.tescan_tag(*files.tescan_text(**values))
    return files.tiff_with(tmp_path / "m.tif", files.TESCAN, content, kind=files.BYTE)


TWICE = r"0\.05 µm .*0\.1 µm"
WRONG = {
    "fei field width": (
        lambda d: files.tiff_with(d / "m.tif", files.FEI, files.fei_text(field_m="6.4e-06")), TWICE),
    "fei image resized": (
        lambda d: files.tiff_with(d / "m.tif", files.FEI, files.fei_text(), files.noise(24, 32)), TWICE),
    "fei not square": (
        lambda d: files.tiff_with(d / "m.tif", files.FEI, files.fei_text(height_m="1e-07")), r"0\.05 × 0\.1 µm"),
    "fei zero": (lambda d: files.tiff_with(d / "m.tif", files.FEI, files.fei_text("0")), "says 0 × 0 µm"),
    "fei nan": (lambda d: files.tiff_with(d / "m.tif", files.FEI, files.fei_text("nan")), "says nan × nan µm"),
    "zeiss field width": (
        lambda d: files.tiff_with(d / "m.tif", files.ZEISS, files.zeiss_text(field="6.4 µm")), TWICE),
    "tescan not square": (lambda d: tescan(d, pixel_y="6e-8"), r"0\.05 × 0\.06 µm"),
    "tescan in millimetres": (lambda d: tescan(d, pixel_x="0.05"), "says 50000 × 50000 µm"),
    "hitachi image resized": (lambda d: jpeg_with(d / "m.jpg", files.hitachi_text(size="128x96")), TWICE),
    "jeol image resized": (lambda d: jpeg_with(d / "m.jpg", files.jeol_text(size="128 96")), TWICE),
    "jeol without a bar": (lambda d: jpeg_with(d / "m.jpg", files.jeol_text(bar=0)), "says inf µm"),
    "hitachi of another image": (
        lambda d: jpeg_with(d / "m.jpg", files.hitachi_text(pixel_nm="3e9")), r"says 3e\+06 µm"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_files_with_a_wrong_scale_are_refused_however_they_are_read(tmp_path, case):
    write, values = WRONG[case]
    path = write(tmp_path)
    for read in (read_micrograph, read_pixel_size_um, open_micrograph):
        with pytest.raises(InputError, match=values) as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_tag_and_side_file_have_to_agree(tmp_path):
    path = tescan(tmp_path)
    (tmp_path / "m-tif.hdr").write_text("[MAIN]\nPixelSizeX=5.0e-8\nPixelSizeY=5.0e-8\n")
    assert read_pixel_size_um(path) == pytest.approx(0.05)
    (tmp_path / "m-tif.hdr").write_text("[MAIN]\nPixelSizeX=2.5e-8\nPixelSizeY=2.5e-8\n")
    with pytest.raises(
        InputError, match=r"Tescan tag PixelSizeX says 0\.05 µm a pixel, m-tif\.hdr PixelSizeX 0\.025 µm"
    ):
        read_pixel_size_um(path)


def test_a_bar_of_few_pixels_is_no_contradiction(tmp_path):
    # 21 pixels is as near as a whole number comes to 1 µm of 47.6 nm
    text = files.jeol_text(bar=21, more="$CM_PIXEL_SIZE 48.6nm\r\n")
    assert read_pixel_size_um(jpeg_with(tmp_path / "m.jpg", text)) == pytest.approx(0.0486)


def test_a_field_width_holds_for_a_resized_image_too(tmp_path):
    text = "$CM_FORMAT JEOL\n$CM_FULL_SIZE 128 96\n$CM_FIELD_OF_VIEW 3.2um 2.4um\n"
    assert read_pixel_size_um(jpeg_with(tmp_path / "m.jpg", text)) == pytest.approx(0.05)


def test_a_file_without_scale_has_the_given_one(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", files.noise())
    assert read_micrograph(tmp_path / "m.tif", 0.2).pixel_size_um == 0.2
    assert read_micrograph(tmp_path / "m.tif").pixel_size_um is None
    with open_micrograph(tmp_path / "m.tif", 0.2) as opened:
        assert opened.pixel_size_um == 0.2
