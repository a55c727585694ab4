"""What instruments write of pixel size, databar and conditions, in small files as each maker writes them."""

import os
from pathlib import Path

import instrument_files as files
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from sem_train.micrographs import PIXEL_SIZE_KEY, read_micrograph, read_pixel_size_um
from semforge.errors import InputError

EDGE_UM = 0.05
SIDE_TEXTS = {"Hitachi": files.hitachi_text(), "JEOL": files.jeol_text()}


def png(path, **notes):
    text = PngImagePlugin.PngInfo()
    for key, value in notes.items():
        text.add_text(key, value)
    Image.fromarray(files.noise()).save(path, pnginfo=text)
    return path


def test_fei(tmp_path):
    read = read_micrograph(files.tiff_with(tmp_path / "m.tif", files.FEI, files.fei_text()))
    assert read.pixel_size_um == pytest.approx(EDGE_UM)
    assert (read.scale.pixel_size_um, read.scale.source) == (read.pixel_size_um, "metadata")
    assert "FEI tag PixelWidth" in read.scale.note
    assert read.databar is None
    assert read.instrument == {
        "instrument": "Quattro S", "beam_kev": "20", "working_distance_mm": "9.3", "detector": "ABS All",
        "magnification": "40000", "date": "2021-11-30 11:02:50",
    }  # fmt: skip


def test_fei_without_a_scan_section_has_its_field_width(tmp_path):
    text = files.fei_text().replace("[Scan]", "[Other]")
    assert read_pixel_size_um(files.tiff_with(tmp_path / "m.tif", files.FEI, text)) == pytest.approx(EDGE_UM)


def test_the_databar_of_fei_is_what_stands_below_the_scan(tmp_path):
    text = files.fei_text(resolution=(64, 40))
    read = read_micrograph(files.tiff_with(tmp_path / "m.tif", files.FEI, text))
    assert read.databar == slice(40, 48)
    np.testing.assert_array_equal(read.specimen, files.noise()[:40])
    np.testing.assert_array_equal(read.image, files.noise())


@pytest.mark.parametrize("pixel", ["50.00 nm", "0.05 µm", "50000 pm"])
def test_zeiss(tmp_path, pixel):
    read = read_micrograph(files.tiff_with(tmp_path / "m.tif", files.ZEISS, files.zeiss_text(pixel)))
    assert read.pixel_size_um == pytest.approx(EDGE_UM)
    assert read.instrument == {
        "instrument": "Zeiss Sigma-11-07", "beam_kev": "15", "working_distance_mm": "8.5", "detector": "InLens",
        "magnification": "40000", "date": "2017-03-24 10:22:13",
    }  # fmt: skip


def test_zeiss_pixel_of_the_screen_is_that_of_1024_columns(tmp_path):
    text = files.zeiss_text("3.125 nm", key="AP_PIXEL_SIZE", name="Pixel Size")
    assert read_pixel_size_um(files.tiff_with(tmp_path / "m.tif", files.ZEISS, text)) == pytest.approx(EDGE_UM)


@pytest.mark.parametrize("blocks", [True, False])
def test_tescan_tag(tmp_path, blocks):
    main, sem = files.tescan_text()
    content = files.tescan_tag(main, sem) if blocks else (main + sem).encode()
    read = read_micrograph(files.tiff_with(tmp_path / "m.tif", files.TESCAN, content, kind=files.BYTE))
    assert read.pixel_size_um == pytest.approx(EDGE_UM)
    assert read.instrument == {
        "instrument": "MIRA3 LMH", "beam_kev": "15", "working_distance_mm": "10", "detector": "BSE",
        "magnification": "5000", "date": "2019-03-12 10:22:13",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["m-tif.hdr", "M-TIF.HDR", "m.hdr"])
def test_tescan_header_beside_the_image(tmp_path, name):
    main, sem = files.tescan_text()
    tifffile.imwrite(tmp_path / "m.tif", files.noise(dtype=np.uint16))
    (tmp_path / name).write_text(f"[MAIN]\r\n{main}[SEM]\r\n{sem}")
    read = read_micrograph(tmp_path / "m.tif")
    assert read.pixel_size_um == pytest.approx(EDGE_UM)
    assert name in read.scale.note


def test_tescan_header_of_a_png(tmp_path):
    main, sem = files.tescan_text()
    (tmp_path / "m-png.hdr").write_text(f"[MAIN]\n{main}[SEM]\n{sem}")
    assert read_pixel_size_um(png(tmp_path / "m.png")) == pytest.approx(EDGE_UM)


def test_the_strip_of_tescan_is_left_out_only_where_it_is_drawn(tmp_path):
    main, sem = files.tescan_text(strip=12)
    tag = files.tescan_tag(main, sem)
    image = files.noise(80, 64)
    assert (
        read_micrograph(files.tiff_with(tmp_path / "plain.tif", files.TESCAN, tag, image, files.BYTE)).databar is None
    )
    image[-12:] = 0
    image[-10:-3, 4:60:5] = image[-10:-3, 5:60:5] = 255
    assert read_micrograph(
        files.tiff_with(tmp_path / "strip.tif", files.TESCAN, tag, image, files.BYTE)
    ).databar == slice(68, 80)


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png"])
@pytest.mark.parametrize("maker", SIDE_TEXTS)
def test_text_beside_the_image(tmp_path, maker, suffix):
    path = tmp_path / f"Image 1{suffix}"
    tifffile.imwrite(path, files.noise()) if suffix == ".tif" else Image.fromarray(files.noise()).save(path)
    (tmp_path / "IMAGE 1.TXT").write_text(SIDE_TEXTS[maker])
    read = read_micrograph(path)
    assert read.pixel_size_um == pytest.approx(EDGE_UM)
    assert read.scale.source == "metadata" and "IMAGE 1.TXT" in read.scale.note
    assert (read.instrument["beam_kev"], read.instrument["date"][:10]) == ("15", "2019-03-12")
    distance, magnification = {"Hitachi": ("8.1", "10000"), "JEOL": ("10", "5000")}[maker]
    assert (read.instrument["working_distance_mm"], read.instrument["magnification"]) == (distance, magnification)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_text_in_any_encoding(tmp_path, encoding):
    (tmp_path / "m.txt").write_text(files.jeol_text(marker="1µm"), encoding=encoding)
    assert read_pixel_size_um(png(tmp_path / "m.png")) == pytest.approx(EDGE_UM)


@pytest.mark.parametrize(
    "line", ["$CM_PIXEL_SIZE 50.0nm", "$CM_FIELD_OF_VIEW 3.2µm 2.4µm", "$$EM_PIXELSPERMETER_X 2e7"]
)
def test_jeol_files_of_other_instruments(tmp_path, line):
    (tmp_path / "m.txt").write_text(f"$CM_FORMAT JEOL\n$CM_INSTRUMENT X\n{line}\n", encoding="utf-8")
    assert read_pixel_size_um(png(tmp_path / "m.png")) == pytest.approx(EDGE_UM)


def test_the_databar_of_jeol_is_what_stands_below_the_image(tmp_path):
    (tmp_path / "m.txt").write_text(files.jeol_text(size="64 40"))
    assert read_micrograph(png(tmp_path / "m.png")).databar == slice(40, 48)


def test_other_text_beside_an_image_says_nothing(tmp_path):
    (tmp_path / "m.txt").write_text("etched 30 s\nPixelSize=3\n")
    (tmp_path / "m.hdr").write_text("a list of things")
    assert read_micrograph(png(tmp_path / "m.png")).scale.source == "none"


@pytest.mark.parametrize(
    ("unit", "per_unit"),
    [("um", 20), ("\\u00B5m", 20), ("micron", 20), ("nm", 0.02), ("mm", 20_000), ("cm", 200_000)],
)
def test_imagej(tmp_path, unit, per_unit):
    tifffile.imwrite(tmp_path / "m.tif", files.noise(), imagej=True, resolution=(per_unit, per_unit),
                     metadata={"unit": unit})  # fmt: skip
    assert read_pixel_size_um(tmp_path / "m.tif") == pytest.approx(EDGE_UM, rel=1e-4)


@pytest.mark.parametrize("unit", [b"\xb5m", "µm".encode(), "μm".encode()])
def test_imagej_with_a_micro_sign(tmp_path, unit):
    description = b"ImageJ=1.54f\nunit=" + unit + b"\n"
    tifffile.imwrite(tmp_path / "m.tif", files.noise(), description=description, metadata=None, resolution=(20, 20))
    assert read_pixel_size_um(tmp_path / "m.tif") == pytest.approx(EDGE_UM)


@pytest.mark.parametrize("unit", ["inch", "pixel"])
def test_inches_and_pixels_of_imagej_are_no_scale(tmp_path, unit):
    tifffile.imwrite(tmp_path / "m.tif", files.noise(), imagej=True, resolution=(300, 300), metadata={"unit": unit})
    scale = read_micrograph(tmp_path / "m.tif").scale
    assert (scale.pixel_size_um, scale.source) == (None, "none")
    assert repr(unit) in scale.note


@pytest.mark.parametrize(("size", "unit"), [(50, "nm"), (0.05, None), (5e-5, "mm")])
def test_ome(tmp_path, size, unit):
    units = {} if unit is None else {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "m.ome.tif", files.noise(), ome=True,
                     metadata={"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size, **units})  # fmt: skip
    assert read_pixel_size_um(tmp_path / "m.ome.tif") == pytest.approx(EDGE_UM)


def test_print_resolution_is_never_a_scale(tmp_path):
    tifffile.imwrite(tmp_path / "i.tif", files.noise(), resolution=(300, 300), resolutionunit="INCH")
    tifffile.imwrite(tmp_path / "c.tif", files.noise(), resolution=(200_000, 200_000), resolutionunit="CENTIMETER")
    Image.fromarray(files.noise()).save(tmp_path / "d.png", dpi=(300, 300))
    Image.fromarray(files.noise()).save(tmp_path / "d.jpg", dpi=(300, 300))
    for path in tmp_path.iterdir():
        read = read_micrograph(path)
        assert read.pixel_size_um is None and read.scale.source == "none" and "in pixels" in read.scale.note, path


def test_what_semforge_noted_must_be_a_number(tmp_path):
    assert read_pixel_size_um(png(tmp_path / "m.png", **{PIXEL_SIZE_KEY: "0.05"})) == EDGE_UM
    with pytest.raises(InputError, match="is 'x', expected µm"):
        read_pixel_size_um(png(tmp_path / "x.png", **{PIXEL_SIZE_KEY: "x"}))


@pytest.mark.parametrize(("name", "detector"), [("micrograph_BSE.tif", "ABS All"), ("micrograph_SE.tif", "ETD SE")])
def test_real_files_of_an_fei_instrument(name, detector):
    root = Path(os.environ.get("SEMFORGE_DATA") or Path(__file__).parents[3] / "shared/real")
    path = root / "instrument" / name
    if not path.exists():
        pytest.skip("the instrument's files are not at hand")
    with tifffile.TiffFile(path) as file:
        tags = file.fei_metadata
    read = read_micrograph(path)
    assert read.image.dtype == np.uint16
    assert read.pixel_size_um == pytest.approx(tags["Scan"]["PixelWidth"] * 1e6)
    assert read.pixel_size_um * read.image.shape[1] == pytest.approx(tags["EBeam"]["HFW"] * 1e6, rel=1e-4)
    assert read.databar == slice(tags["Image"]["ResolutionY"], len(read.image)) == slice(1024, 1094)
    assert read.instrument == {
        "instrument": "Quattro S", "beam_kev": "20", "working_distance_mm": "9.319", "detector": detector,
        "magnification": "2000", "date": "2021-11-30 11:02:50",
    }  # fmt: skip
