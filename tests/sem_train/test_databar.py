"""Information strips found in pictures, and pictures without one left whole."""

import os
from pathlib import Path

import numpy as np
import pytest
from drawn_databars import specimen, with_databar
from PIL import Image

from sem_train.micrographs import image_files, open_micrograph, read_image, read_micrograph
from sem_train.micrographs.databar import find_databar

SPECIMEN = specimen(400, 640)


@pytest.mark.parametrize(("paper", "ink"), [(0, 255), (255, 0), (46, 255), (200, 20)])
@pytest.mark.parametrize("typeface", ["DejaVuSans", "STIXGeneral", "plain"])
@pytest.mark.parametrize(("rows", "size"), [(24, 12), (64, 20)])
def test_a_strip_is_found_to_the_row(paper, ink, typeface, rows, size):
    assert find_databar(with_databar(SPECIMEN, rows, paper, ink, typeface, size)) == slice(400, 400 + rows)


def test_a_strip_of_16_bits():
    barred = with_databar(SPECIMEN).astype(np.uint16) * 257
    assert find_databar(barred) == slice(400, 440)


def test_a_strip_above_the_specimen():
    barred = with_databar(SPECIMEN, 30)
    assert find_databar(np.concatenate([barred[400:], SPECIMEN])) == slice(0, 30)


@pytest.mark.parametrize("quality", [60, 90])
def test_a_strip_in_a_jpeg(tmp_path, quality):
    Image.fromarray(with_databar(SPECIMEN, 40)).save(tmp_path / "m.jpg", quality=quality)
    found = read_micrograph(tmp_path / "m.jpg").databar
    # compression smears the edge over its blocks of 8
    assert found.stop == 440 and abs(found.start - 400) <= 4


def test_what_is_left_is_the_specimen_alone(tmp_path):
    Image.fromarray(with_databar(SPECIMEN)).save(tmp_path / "m.png")
    read = read_micrograph(tmp_path / "m.png")
    assert read.specimen_rows == slice(0, 400)
    np.testing.assert_array_equal(read.specimen, SPECIMEN)
    assert read.image.shape == (440, 640)
    with open_micrograph(tmp_path / "m.png") as opened:
        assert (opened.databar, opened.specimen_rows) == (slice(400, 440), slice(0, 400))


def blank(level):
    """Resin, or a saturated band, below the specimen: flat but without lettering."""
    return np.concatenate([SPECIMEN, np.full((40, 640), level, np.uint8)])


def pores():
    """A flat layer with dark pores of all sizes at the lower edge."""
    image = blank(200)
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[: len(image), :640]
    for _ in range(60):
        row, column, radius = rng.uniform(395, 445), rng.uniform(0, 640), rng.uniform(2, 14)
        image[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = 20
    return image


def burnt_in():
    """Lettering on the specimen itself."""
    return with_databar(SPECIMEN, 40)[40:] // 1 | np.concatenate([SPECIMEN[40:], SPECIMEN[-40:]])


PLAIN = {"specimen": lambda: SPECIMEN, "black": lambda: blank(0), "white": lambda: blank(255), "pores": pores,
         "burnt in": burnt_in, "flat": lambda: np.full((300, 300), 7, np.uint8),
         "small": lambda: with_databar(specimen(60, 80), 14, size=8)}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_no_strip_is_not_cut_off(name):
    assert find_databar(PLAIN[name]()) is None


@pytest.mark.parametrize("folder", ["nasa_ebc/train/images", "nasa_ebc/val/images", "microplastics/pellet"])
def test_real_micrographs_without_a_strip_stay_whole(folder):
    root = Path(os.environ.get("SEMFORGE_DATA") or Path(__file__).parents[3] / "shared/real")
    if not (root / folder).is_dir():
        pytest.skip("the real micrographs are not at hand")
    files = image_files(root / folder)[:12]
    assert [path.name for path in files if find_databar(read_image(path)) is not None] == []
