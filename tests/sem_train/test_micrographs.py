"""Images as instruments and editors write them."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from sem_train.classes import ClassMap
from sem_train.micrographs import image_files, read_label_map, read_micrograph, write_label_map
from semforge.errors import InputError

CLASSES = ClassMap(classes=[{"name": "resin", "role": "outside"}, {"name": "oxide", "role": "layer"}])
GREY = (np.arange(12 * 16) % 251).reshape(12, 16)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_levels_survive(tmp_path, suffix, dtype):
    image = (GREY * (200 if dtype == np.uint16 else 1)).astype(dtype)
    path = tmp_path / f"m{suffix}"
    tifffile.imwrite(path, image) if suffix == ".tif" else Image.fromarray(image).save(path)
    read = read_micrograph(path)
    assert read.image.dtype == dtype
    assert read.pixel_size_um is None
    np.testing.assert_array_equal(read.image, image)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_equal_colours_are_grey(tmp_path, mode):
    image = GREY.astype(np.uint8)
    Image.fromarray(image).convert(mode).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_micrograph(tmp_path / "m.png").image, image)


def test_colours_become_luminance(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 1] = 100
    Image.fromarray(image).save(tmp_path / "m.png")
    assert (read_micrograph(tmp_path / "m.png").image == 59).all()


def test_white_is_zero_is_inverted_for_micrographs_only(tmp_path):
    image = GREY.astype(np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", image, photometric="miniswhite")
    np.testing.assert_array_equal(read_micrograph(tmp_path / "m.tif").image, 255 - image)
    np.testing.assert_array_equal(read_label_map(tmp_path / "m.tif")[0], image)


@pytest.mark.parametrize("name", ["broken.png", "broken.tif", "broken.jpg"])
def test_no_image(tmp_path, name):
    (tmp_path / name).write_text("not an image")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_micrograph(tmp_path / name)


def test_truncated_png(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "m.png")
    whole = (tmp_path / "m.png").read_bytes()
    (tmp_path / "m.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_micrograph(tmp_path / "m.png")


def test_missing_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_micrograph(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        read_micrograph(tmp_path)
    with pytest.raises(InputError, match="has no image"):
        image_files(tmp_path)


def test_float_and_stack_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", GREY.astype(np.float32))
    with pytest.raises(InputError, match="expected 8 or 16 bits"):
        read_micrograph(tmp_path / "f.tif")
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((5, 12, 16), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match="stack of 5"):
        read_micrograph(tmp_path / "s.tif")


def test_label_map_carries_its_classes_and_scale(tmp_path):
    labels = (GREY % 2).astype(np.uint8)
    write_label_map(tmp_path / "l.png", labels, CLASSES, 0.25)
    read, classes = read_label_map(tmp_path / "l.png")
    np.testing.assert_array_equal(read, labels)
    assert classes == CLASSES
    assert read_micrograph(tmp_path / "l.png").pixel_size_um == 0.25


def test_palette_label_map_keeps_its_ids(tmp_path):
    labels = (GREY % 3).astype(np.uint8)
    image = Image.fromarray(labels, mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "l.png")
    read, classes = read_label_map(tmp_path / "l.png")
    np.testing.assert_array_equal(read, labels)
    assert classes is None


def test_coloured_and_lossy_label_maps_are_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "l.png")
    with pytest.raises(InputError, match="colour image"):
        read_label_map(tmp_path / "l.png")
    Image.fromarray(GREY.astype(np.uint8)).save(tmp_path / "l.jpg")
    with pytest.raises(InputError, match="JPEG changes class ids"):
        read_label_map(tmp_path / "l.jpg")
