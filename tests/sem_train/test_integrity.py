"""Bad data is named before the first step: file, what was found, what was expected."""

import h5py
import numpy as np
import pytest
import tifffile
from fake_data import CLASSES, write_folder, write_shard
from PIL import Image

from sem_train.classes import ClassMap
from sem_train.config import DataSettings, RealData, SyntheticData
from sem_train.data import gather
from semforge.errors import InputError

MAP = ClassMap.model_validate({"classes": CLASSES})


@pytest.fixture
def real(tmp_path):
    return RealData(root=write_folder(tmp_path / "real", [f"s{i}" for i in range(3)]))


def complaint(**data):
    with pytest.raises(InputError) as error:
        gather(DataSettings(**data), MAP)
    assert "\n" not in str(error.value)
    return str(error.value)


def cut(path, keep=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


@pytest.mark.parametrize("kind", ["images", "labels"])
@pytest.mark.parametrize("keep", [0, 0.01, 0.5, 0.8])  # the last bytes hold no pixels
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_truncated_files_are_named(tmp_path, real, kind, keep, suffix):
    if kind == "labels" and suffix == "jpg":
        return
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)  # so that little is compressed
    for path in sorted((real.root / kind).glob("*.png")):
        stored = np.asarray(Image.open(path)) if kind == "labels" else pixels
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), stored, compression="zlib") if suffix == "tif" else Image.fromarray(
            stored
        ).save(path.with_suffix(f".{suffix}"))
    cut(real.root / kind / f"i1.{suffix}", keep)
    data = real.model_copy(update={kind: f"{kind}/{{name}}.{suffix}"})
    said = complaint(real=[data])
    assert f"{kind}/i1.{suffix}: cannot be read as an image, expected PNG, TIFF or JPEG" in said


def test_all_bad_files_are_named_at_once(real):
    cut(real.root / "images/i0.png")
    Image.new("L", (8, 9)).save(real.root / "labels/i1.png")
    said = complaint(real=[real])
    assert said.startswith("2 of 3 pictures cannot be used: (1) ")
    assert "images/i0.png: cannot be read" in said
    assert "(2) " in said and "labels/i1.png: is (9, 8) pixels, its image (64, 64), expected the same" in said


def test_of_many_bad_files_ten_are_named(tmp_path):
    root = write_folder(tmp_path / "real", [f"s{i}" for i in range(13)])
    for path in (root / "images").iterdir():
        cut(path)
    said = complaint(real=[RealData(root=root)])
    assert said.count("cannot be read") == 10 and said.endswith("and 3 more")


def test_held_out_and_training_pictures_are_checked_together(tmp_path, real):
    cut(real.root / "images/i0.png")
    shard = write_shard(tmp_path / "s.h5")
    with h5py.File(shard, "r+") as file:
        file["phase"][3, 0, 0] = 77
    data = real.model_copy(update={"held_out": ("i0",)})
    said = complaint(real=[data], synthetic=[SyntheticData(path=shard)])
    assert "2 of 7 pictures" in said and "i0.png" in said and "sample 3 is not what was rendered" in said


def test_an_image_without_any_label_is_named(real):
    Image.fromarray(np.full((64, 64), 99, np.uint8)).save(real.root / "labels/i2.png")
    data = real.model_copy(update={"unlabelled": (99,)})
    assert "images/i2.png: no pixel has a label that counts, expected one at least" in complaint(real=[data])


def test_an_empty_image_is_named(real):
    Image.fromarray(np.full((64, 64), 12, np.uint8)).save(real.root / "images/i2.png")
    assert "images/i2.png: every pixel has grey level 12, expected a micrograph" in complaint(real=[real])


@pytest.mark.parametrize("values", [np.float32, np.float64])
def test_images_of_other_numbers_are_named(real, values):
    tifffile.imwrite(real.root / "images/i1.tif", np.full((64, 64), np.nan, values))
    (real.root / "images/i1.png").unlink()
    said = complaint(real=[real.model_copy(update={"images": "images/{name}.*"})])
    assert f"i1.tif: has pixels of type {np.dtype(values)}, expected 8 or 16 bits unsigned" in said


@pytest.mark.parametrize("array", ["image", "phase", "instance"])
def test_a_sample_that_has_changed_on_disk_is_named_once(tmp_path, array):
    shard = write_shard(tmp_path / "s.h5", images=2)
    with h5py.File(shard, "r+") as file:
        where = (2, 1, 5, 5) if array == "image" else (2, 5, 5)
        file[array][where] += 1
    assert "s.h5: sample 2 is not what was rendered" in complaint(synthetic=[SyntheticData(path=shard)])


def test_a_sample_that_cannot_be_decoded_is_named(tmp_path):
    shard = write_shard(tmp_path / "s.h5")
    with h5py.File(shard, "r") as file:
        chunk = file["image"].id.get_chunk_info_by_coord((1, 0, 0, 0))
    content = bytearray(shard.read_bytes())
    content[chunk.byte_offset + 20 : chunk.byte_offset + 60] = b"\xff" * 40
    shard.write_bytes(content)
    said = complaint(synthetic=[SyntheticData(path=shard)])
    assert "s.h5" in said and "cannot be read; render it again" in said


def test_a_cut_shard_is_named(tmp_path):
    shard = write_shard(tmp_path / "s.h5")
    cut(shard)
    said = complaint(synthetic=[SyntheticData(path=shard)])
    assert "s.h5: is not a whole HDF5 file (truncated?); render it again" in said
