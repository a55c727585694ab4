"""Parts of images on disk, equal to those of the whole image, in little memory."""

import subprocess
import sys

import instrument_files as files
import numpy as np
import pytest
import tifffile
from PIL import Image

from sem_train.micrographs import open_micrograph, read_micrograph
from semforge.errors import InputError

GREY = files.noise(133, 217, np.uint16)
COLOUR = np.random.default_rng(1).integers(0, 255, (133, 217, 3), dtype=np.uint8)
PLANES = np.moveaxis(COLOUR, -1, 0).copy()

TIFFS = {
    "mapped": (GREY, {}),
    "mapped, big endian": (GREY, {"byteorder": ">"}),
    "strips": (GREY, {"compression": "zlib", "rowsperstrip": 7, "predictor": 2}),
    "strips, big endian": (GREY, {"compression": "lzw", "rowsperstrip": 16, "byteorder": ">"}),
    "one strip": (GREY, {"compression": "zlib"}),
    "tiles": (GREY, {"compression": "zlib", "tile": (64, 48)}),
    "plain tiles": (GREY, {"tile": (64, 48)}),
    "BigTIFF": (GREY, {"bigtiff": True, "compression": "zstd", "tile": (64, 64)}),
    "white is zero": (GREY, {"photometric": "miniswhite"}),
    "one bit": (GREY > 30000, {}),
    "colours": (COLOUR, {"photometric": "rgb", "compression": "zlib", "tile": (64, 64)}),
    "planes": (PLANES, {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "rowsperstrip": 50}),
    "mapped planes": (PLANES, {"photometric": "rgb", "planarconfig": "separate"}),
    "JPEG inside": (COLOUR, {"photometric": "ycbcr", "compression": "jpeg", "tile": (64, 64)}),
}  # fmt: skip
PARTS = [(0, 133, 0, 217), (0, 1, 0, 1), (132, 133, 216, 217), (5, 70, 40, 130), (64, 128, 48, 96), (60, 70, 0, 217)]


def same_parts(path):
    whole = read_micrograph(path).image
    with open_micrograph(path) as opened:
        assert (opened.shape, opened.dtype) == (whole.shape, whole.dtype)
        for top, bottom, left, right in PARTS:
            part = opened.read(slice(top, bottom), slice(left, right))
            assert part.dtype == whole.dtype
            np.testing.assert_array_equal(part, whole[top:bottom, left:right])


@pytest.mark.parametrize("kind", TIFFS)
def test_parts_of_a_tiff_are_those_of_the_whole(tmp_path, kind):
    array, options = TIFFS[kind]
    tifffile.imwrite(tmp_path / "m.tif", array, **options)
    same_parts(tmp_path / "m.tif")


def test_parts_of_an_ome_tiff_with_a_pyramid(tmp_path):
    with tifffile.TiffWriter(tmp_path / "m.ome.tif", ome=True) as writer:
        options = {"tile": (64, 64), "compression": "zlib", "metadata": {"axes": "YX", "PhysicalSizeX": 0.2}}
        writer.write(GREY, subifds=1, **options)
        writer.write(GREY[::2, ::2], subfiletype=1, tile=(64, 64), compression="zlib")
    same_parts(tmp_path / "m.ome.tif")
    with open_micrograph(tmp_path / "m.ome.tif") as opened:
        assert (opened.pixel_size_um, opened.scale.source) == (pytest.approx(0.2), "metadata")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_other_formats_are_read_whole(tmp_path, suffix):
    Image.fromarray(COLOUR).save(tmp_path / f"m{suffix}")
    same_parts(tmp_path / f"m{suffix}")


def test_slices_are_cut_to_the_image_and_have_no_steps(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", GREY, tile=(64, 64), compression="zlib")
    with open_micrograph(tmp_path / "m.tif") as opened:
        np.testing.assert_array_equal(opened.read(slice(100, 999), slice(None)), GREY[100:])
        np.testing.assert_array_equal(opened.read(slice(-5, None), slice(3, 9)), GREY[-5:, 3:9])
        assert opened.read(slice(200, 300), slice(0, 9)).shape == (0, 9)
        with pytest.raises(ValueError, match="without steps"):
            opened.read(slice(0, 9, 2), slice(0, 9))


def test_what_is_no_micrograph_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", GREY.astype(np.float32))
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((5, 12, 16), np.uint8), photometric="minisblack")
    (tmp_path / "b.tif").write_text("not an image")
    for name, message in (("f", "expected 8 or 16 bits"), ("s", "stack of 5"), ("b", "cannot be read as an image")):
        with pytest.raises(InputError, match=message):
            open_micrograph(tmp_path / f"{name}.tif")


def test_a_file_that_ends_too_early_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", GREY, tile=(64, 64), compression="zlib")
    whole = (tmp_path / "m.tif").read_bytes()
    (tmp_path / "m.tif").write_bytes(whole[: len(whole) * 3 // 4])
    with (
        open_micrograph(tmp_path / "m.tif") as opened,
        pytest.raises(InputError, match=r"m\.tif: cannot be read as an image"),
    ):
        opened.read(slice(0, 133), slice(0, 217))


def test_the_databar_and_scale_of_an_instrument(tmp_path):
    text = files.fei_text(resolution=(64, 40))
    with open_micrograph(files.tiff_with(tmp_path / "m.tif", files.FEI, text)) as opened:
        assert (opened.databar, opened.specimen_rows) == (slice(40, 48), slice(0, 40))
        assert opened.pixel_size_um == pytest.approx(0.05)
        assert opened.instrument["instrument"] == "Quattro S"


READ_A_PART = """
import resource, sys
import numpy as np
from sem_train.micrographs import open_micrograph
with open_micrograph(sys.argv[1], 0.1) as opened:
    opened.read(slice(0, 8), slice(0, 8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    part = opened.read(slice(9900, 10924), slice(9900, 10924))
    assert opened.shape == (20000, 20000) and part.shape == (1024, 1024) and part[100, 100] == 77, part
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    opened.databar
    print(added, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("compression", ["zlib", None])
def test_a_part_of_a_huge_image_takes_little_memory(tmp_path, compression):
    """400 million pixels; what is added by reading a million of them, and by looking for a databar, stays far below."""
    path = tmp_path / "huge.tif"
    if compression is None:
        image = tifffile.memmap(path, shape=(20000, 20000), dtype=np.uint8, photometric="minisblack")  # sparse on disk
        image[10000, 10000] = 77
        image.flush()
    else:
        tile = np.zeros((512, 512), np.uint8)
        marked = tile.copy()
        marked[10000 - 19 * 512, 10000 - 19 * 512] = 77
        tiles = (marked if i == 19 * 40 + 19 else tile for i in range(1600))
        tifffile.imwrite(path, tiles, shape=(20000, 20000), dtype=np.uint8, tile=(512, 512), compression="zlib")
    command = [sys.executable, "-c", READ_A_PART, str(path)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    part_kib, databar_kib = map(int, ran.stdout.split())
    assert part_kib < 64 * 1024 and databar_kib < 160 * 1024
