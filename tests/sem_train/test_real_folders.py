"""Every form in which a laboratory keeps its images and labels, read through `real_pictures`."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fake_data import CLASSES, write_folder
from PIL import Image

from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED, DataSettings, RealData
from sem_train.data import gather, real_pictures
from sem_train.data.pictures import unique_names
from semforge.errors import InputError

MAP = ClassMap.model_validate({"classes": CLASSES})  # outside 0, coat 10, steel 20, pore 30
PARTICLES = ClassMap.model_validate({"classes": [{"name": "background", "values": [0]},
                                                 {"name": "particle", "values": [1]}]})  # fmt: skip
ROWS, COLUMNS = np.mgrid[:20, :24]
GREY = {8: (8 * ROWS + COLUMNS).astype(np.uint8), 16: (2000 * ROWS + 300 * COLUMNS + 7).astype(np.uint16)}
LABELS = np.select([ROWS < 5, ROWS < 12, COLUMNS < 6], [0, 10, 30], 20)
CLASS_IDS = np.select([ROWS < 5, ROWS < 12, COLUMNS < 6], [0, 1, 3], 2)


def png_16(path, array):
    """A PNG of 16 bits with 1 to 4 channels, which Pillow cannot write."""
    channels = 1 if array.ndim == 2 else array.shape[2]
    header = struct.pack(">IIBBBBB", *array.shape[1::-1], 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def write(path, grey, form):
    """An image file of the given form that shows grey levels (H, W); alpha is half see-through."""
    path.parent.mkdir(parents=True, exist_ok=True)
    alpha = np.full(grey.shape, np.iinfo(grey.dtype).max // 2, grey.dtype)
    array = {"grey": grey, "grey+alpha": np.stack([grey, alpha], axis=-1), "rgb": np.stack([grey] * 3, axis=-1),
             "rgba": np.stack([grey] * 3 + [alpha], axis=-1)}[form]  # fmt: skip
    if path.suffix in (".tif", ".tiff"):
        photometric = "rgb" if form.startswith("rgb") else "minisblack"
        planes = {"planarconfig": "contig", "extrasamples": ["unassalpha"]} if "a" in form[3:] else {}
        tifffile.imwrite(path, array, photometric=photometric, compression="zlib", **planes)
    elif path.suffix in (".jpg", ".jpeg"):
        Image.fromarray(array).save(path, quality=95)
    elif grey.dtype == np.uint16:
        png_16(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


FORMS = [(suffix, bits, form) for suffix in ("png", "tif") for bits in (8, 16)
         for form in ("grey", "grey+alpha", "rgb", "rgba")] + [("jpg", 8, "grey"), ("jpg", 8, "rgb")]  # fmt: skip


@pytest.mark.parametrize(("suffix", "bits", "form"), FORMS)
def test_images_of_every_form_are_read_as_their_grey_levels(tmp_path, suffix, bits, form):
    write(tmp_path / f"images/a.{suffix}", GREY[bits], form)
    write(tmp_path / "labels/a.png", LABELS.astype(np.uint8), "grey")
    (picture,) = real_pictures(RealData(root=tmp_path, images=f"images/{{name}}.{suffix}"), MAP)
    image, labels = picture.read()
    assert image.dtype == (np.uint16 if bits == 16 else np.uint8)
    assert np.abs(image.astype(int) - GREY[bits]).max() <= (3 if suffix == "jpg" else 0)
    np.testing.assert_array_equal(labels, CLASS_IDS)


LABEL_FORMS = [f for f in FORMS if f[0] != "jpg"] + [("tif", 32, "grey"), ("tif", -64, "grey")]


@pytest.mark.parametrize(("suffix", "bits", "form"), LABEL_FORMS)
@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_labels_of_every_form_are_read_as_their_values(tmp_path, kind, suffix, bits, form):
    dtype = {8: np.uint8, 16: np.uint16, 32: np.uint32, -64: np.int64}[bits]
    instances = np.where(ROWS < 5, 0, 1 + ROWS) * (1 if bits == 8 else 300)
    values = (LABELS if kind == "classes" else instances).astype(dtype)
    write(tmp_path / "images/a.tif", GREY[16], "grey")
    write(tmp_path / f"labels/a.{suffix}", values, form)
    data = RealData(root=tmp_path, images="images/{name}.tif", labels=f"labels/{{name}}.{suffix}", labels_are=kind)
    (picture,) = real_pictures(data, MAP if kind == "classes" else PARTICLES)
    np.testing.assert_array_equal(picture.read()[1], CLASS_IDS if kind == "classes" else ROWS >= 5)


def test_a_tiff_palette_is_looked_up_in_images_and_kept_in_labels(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    ramp = np.linspace(65535, 0, 256).astype(np.uint16)
    for path, pixels in (("images/a.tif", GREY[8]), ("labels/a.tif", LABELS.astype(np.uint8))):
        tifffile.imwrite(tmp_path / path, pixels, photometric="palette", colormap=np.stack([ramp] * 3))
    data = RealData(root=tmp_path, images="images/{name}.tif", labels="labels/{name}.tif")
    image, labels = real_pictures(data, MAP)[0].read()
    np.testing.assert_array_equal(image, 255 - GREY[8])
    np.testing.assert_array_equal(labels, CLASS_IDS)


def test_images_of_mixed_suffixes_are_found_and_paired(tmp_path):
    for name in ("a.tif", "b.png", "c.JPG", ".hidden.png", "notes.txt"):
        if name.endswith(("tif", "png")):
            write(tmp_path / "images" / name, GREY[8], "grey")
    Image.fromarray(GREY[8]).save(tmp_path / "images/c.JPG", format="JPEG")
    (tmp_path / "images/notes.txt").write_text("mine")
    for name in ("a.png", "b.tif", "c.tif"):
        write(tmp_path / "labels" / name, LABELS.astype(np.uint8), "grey")
    pictures = real_pictures(RealData(root=tmp_path, images="images/{name}.*", labels="labels/{name}.*"), MAP)
    assert [p.name for p in pictures] == ["a", "b", "c"]
    for picture in pictures:
        np.testing.assert_array_equal(picture.read()[1], CLASS_IDS)


def test_two_files_for_one_name_are_refused(tmp_path):
    for name in ("images/a.tif", "images/a.png"):
        write(tmp_path / name, GREY[8], "grey")
    write(tmp_path / "labels/a.png", LABELS.astype(np.uint8), "grey")
    with pytest.raises(InputError, match=r"images/a\.\*: is a\.png, a\.tif, expected one file"):
        real_pictures(RealData(root=tmp_path, images="images/{name}.*"), MAP)


@pytest.mark.parametrize("bits", [8, 16])
def test_colour_labels_are_refused_with_what_to_do(tmp_path, bits):
    write(tmp_path / "images/a.png", GREY[8], "grey")
    dtype = np.uint8 if bits == 8 else np.uint16
    coloured = np.stack([LABELS, LABELS // 2, 0 * LABELS], axis=-1).astype(dtype)
    (tmp_path / "labels").mkdir()
    (Image.fromarray(coloured).save if bits == 8 else lambda path: png_16(path, coloured))(tmp_path / "labels/a.png")
    (picture,) = real_pictures(RealData(root=tmp_path), MAP)
    with pytest.raises(InputError, match=r"labels/a\.png: is a colour image.*save it as grey levels, one a class"):
        picture.read()


def test_labels_beyond_16_bits_are_refused(tmp_path):
    write(tmp_path / "images/a.png", GREY[8], "grey")
    for values in (LABELS.astype(np.uint32) + 70_000, LABELS.astype(np.int32) - 1, LABELS.astype(np.float32)):
        write(tmp_path / "labels/a.tif", values, "grey") if values.dtype != np.float32 else tifffile.imwrite(
            tmp_path / "labels/a.tif", values
        )
        (picture,) = real_pictures(RealData(root=tmp_path, labels="labels/{name}.tif"), MAP)
        with pytest.raises(InputError, match=r"labels/a\.tif: has pixels of type \w+, expected 8 or 16 bits"):
            picture.read()


def test_several_folders_with_their_own_suffixes_make_one_run(tmp_path):
    write_folder(tmp_path / "x", ["a", "b"])
    write(tmp_path / "y/images/p.tif", GREY[16], "rgb")
    write(tmp_path / "y/labels/p.png", LABELS.astype(np.uint8), "grey")
    sources = [RealData(root=tmp_path / "x", index="index.csv", held_out=["b"]),
               RealData(root=tmp_path / "y", images="images/{name}.tif", unlabelled=[30])]  # fmt: skip
    gathered = gather(DataSettings(real=sources), MAP)
    assert [p.name for p in gathered.real] == ["i0", "p"] and [p.name for p in gathered.held_out] == ["i1"]
    labels = gathered.real[1].read()[1]
    np.testing.assert_array_equal(labels == UNLABELLED, CLASS_IDS == 3)


def test_one_image_in_two_folders_on_both_sides_is_refused(tmp_path):
    write_folder(tmp_path / "x", ["a"])
    write_folder(tmp_path / "y", ["b", "c"], first=200)
    (tmp_path / "y/images/i1.png").write_bytes((tmp_path / "x/images/i0.png").read_bytes())
    sources = [RealData(root=tmp_path / "x", index="index.csv"),
               RealData(root=tmp_path / "y", index="index.csv", held_out=["c"])]  # fmt: skip
    with pytest.raises(InputError, match=r"i1 \(held out\) and i0 \(trained on\) are the same image"):
        gather(DataSettings(real=sources), MAP)


def test_an_image_that_also_stands_under_an_excluded_specimen_is_not_trained_on(tmp_path):
    write_folder(tmp_path / "x", ["a", "b", "c"])
    (tmp_path / "x/images/i2.png").write_bytes((tmp_path / "x/images/i0.png").read_bytes())
    with pytest.raises(InputError, match=r"i2 \(excluded\) and i0 \(trained on\) are the same image under specimens"):
        gather(DataSettings(real=[RealData(root=tmp_path / "x", index="index.csv", excluded=["c"])]), MAP)


@pytest.mark.parametrize(
    ("content", "message"),
    [("name,specimen\ni0,Pr\xfcfling\n".encode("cp1252"), "index.csv: cannot be read, expected CSV in UTF-8"),
     ("name,specimen\ni0,a\n".encode("utf-16"), "index.csv: cannot be read, expected CSV in UTF-8 with commas"),
     (b"name,specimen\ni0,a\ni1\n", "index.csv row 2: has fewer cells than the header has columns"),
     (b"name,specimen\ni0,a,b\ni1,a\n", "index.csv row 1: has more cells than the header has columns"),
     (b"name,specimen\ni0,a\ni1, \n", "index.csv row 2: column 'specimen' is empty"),
     (b"name,specimen\ni0,\ni1,\n", r"2 of 2 rows cannot be used: \(1\) .*index.csv row 1: column .*\(2\) .*row 2: "),
     (b"name;specimen\ni0;a\n", "has no column 'specimen', .* name;specimen; it is separated by semicolons, exp"),
     (b"name\tspecimen\ni0\ta\n", "it is separated by tabs, expected commas"),
     (b"name,group\ni0,a\n", "has no column 'specimen', expected one of name, group$"),
     (b"name,specimen\n", "has no rows, expected one an image"), (b"", "has no rows, expected one an image")],
)  # fmt: skip
def test_an_index_that_cannot_be_used_is_refused_in_one_line(tmp_path, content, message):
    root = write_folder(tmp_path, ["a", "b"])
    (root / "index.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        real_pictures(RealData(root=root, index="index.csv"), MAP)
    assert "\n" not in str(caught.value)


def test_an_index_as_spreadsheets_save_it_is_read(tmp_path):
    root = write_folder(tmp_path, ["a", "b"])
    (root / "index.csv").write_bytes("\ufeffname,specimen\r\ni0,Pr\xfcfling \r\ni1,b\r\n".encode())
    pictures = real_pictures(RealData(root=root, index="index.csv"), MAP)
    assert [(p.name, p.specimen) for p in pictures] == [("i0", "Pr\xfcfling"), ("i1", "b")]


def test_all_files_that_are_missing_are_named_at_once(tmp_path):
    root = write_folder(tmp_path, [f"s{i}" for i in range(20)])
    for name in ("images/i0.png", "labels/i0.png", "labels/i1.png"):
        (root / name).unlink()
    data = RealData(root=root, index="index.csv")
    with pytest.raises(InputError) as caught:
        real_pictures(data, MAP)
    said = str(caught.value)
    assert said.startswith("2 of 20 images cannot be used: ") and "labels/i0.png" not in said
    assert "images/i0.png: no such file, expected an image" in said
    assert "labels/i1.png: no such file, expected the labels of i1.png" in said
    for path in (root / "labels").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"and 10 more$"):
        real_pictures(data, MAP)


def test_files_of_one_stem_have_names_of_their_own():
    paths = [Path(path) for path in ("x/i0.png", "y/i0.png", "y/i0.tif", "y/i1.tif", "../z/i2.png", "i3.png")]
    names = unique_names(paths)
    assert len(set(names)) == len(paths)
    assert [name for name in names if "/" not in name] == ["i1", "i2", "i3"]
    assert [name.rpartition("/")[2] for name in names] == ["i0", "i0.png", "i0.tif", "i1", "i2", "i3"]
    assert not any(".." in name for name in names)
