"""Label maps as TIFF: pixels, classes, colours and scale, as ImageJ, Fiji and napari read them."""

import numpy as np
import pytest
import tifffile
from coatings import CLASSES, section
from hypothesis import given, settings
from hypothesis import strategies as st

from sem_train.config import UNLABELLED
from sem_train.micrographs import read_label_map, read_pixel_size_um, write_label_tiff
from sem_train.overlays import OPACITY, overlay
from semforge.errors import InputError


@pytest.fixture
def labels():
    labels = section((60, 80), 20, 40, 45)
    labels[30, 30:40] = UNLABELLED
    return labels


def test_ids_and_classes_come_back(tmp_path, labels):
    write_label_tiff(tmp_path / "a.tif", labels, CLASSES, 0.25)
    back = read_label_map(tmp_path / "a.tif")
    assert np.array_equal(back.labels, labels) and back.labels.dtype == np.uint8
    assert back.classes == CLASSES


@settings(max_examples=40, deadline=None)
@given(size=st.floats(1e-4, 100))
def test_the_pixel_size_comes_back(tmp_path_factory, size):
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    write_label_tiff(path, np.zeros((4, 5), np.uint8), CLASSES, size)
    assert read_pixel_size_um(path) == pytest.approx(size, rel=1e-6)


def test_without_a_scale_there_is_none(tmp_path, labels):
    write_label_tiff(tmp_path / "a.tif", labels, CLASSES)
    assert read_pixel_size_um(tmp_path / "a.tif") is None


def test_as_imagej_reads_it(tmp_path, labels):
    """TiffDecoder: 'ImageJ=' in the description, unit there, pixels per unit in the resolution tags, palette as LUT."""
    write_label_tiff(tmp_path / "a.tif", labels, CLASSES, 0.05)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages.first
        assert file.is_imagej
        assert page.description.startswith("ImageJ=") and "unit=um" in page.description
        assert page.tags["XResolution"].value == page.tags["YResolution"].value == (20, 1)
        assert page.tags["ResolutionUnit"].value == tifffile.RESUNIT.NONE
        assert page.photometric == tifffile.PHOTOMETRIC.PALETTE
        assert "0: resin\n1: Fe2Al5\n2: FeAl\n" in file.imagej_metadata["Info"]
        assert np.array_equal(page.asarray(), labels)  # ids, not colours


def test_as_napari_reads_it(tmp_path, labels):
    """Its plugin napari-tiff takes denominator over numerator of the resolution as the scale of ImageJ files."""
    write_label_tiff(tmp_path / "a.tif", labels, CLASSES, 0.034)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.series[0].axes == "YX" and file.series[0].shape == labels.shape
        pixels, units = file.pages.first.tags["XResolution"].value
        assert units / pixels == pytest.approx(0.034)


def test_colours_are_those_of_overlays(tmp_path, labels):
    write_label_tiff(tmp_path / "a.tif", labels, CLASSES)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        palette = (file.pages.first.colormap >> 8).T.astype(int)
    black = np.array([[0, 255]], dtype=np.uint8)  # its darkest pixel is black, so that only the tint remains
    for i, kind in enumerate(CLASSES.classes):
        tint = overlay(black, np.full((1, 2), i, np.uint8), CLASSES)[0, 0]
        expected = tint / OPACITY if kind.role != "outside" else np.zeros(3)
        assert palette[i] == pytest.approx(expected, abs=2)
    assert len({tuple(colour) for colour in palette[: len(CLASSES)]}) == len(CLASSES)


def test_nothing_is_left_half_written(tmp_path, labels):
    (tmp_path / "a.tif").write_bytes(b"before")
    with pytest.raises(ValueError):
        write_label_tiff(tmp_path / "a.tif", labels[None, None, None, None, None], CLASSES)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.tif", b"before")]


def test_a_broken_class_map_is_named(tmp_path, labels):
    info = {"Info": "semforge_classes: {no json\n"}
    tifffile.imwrite(tmp_path / "a.tif", labels, imagej=True, metadata=info)
    with pytest.raises(InputError, match=r"a\.tif: its note 'semforge_classes' is not a class map"):
        read_label_map(tmp_path / "a.tif")


def test_what_others_wrote_into_the_info_is_no_class_map(tmp_path, labels):
    tifffile.imwrite(tmp_path / "a.tif", labels, imagej=True, metadata={"Info": "operator: nobody"})
    assert read_label_map(tmp_path / "a.tif").classes is None
