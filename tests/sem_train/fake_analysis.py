"""A folder as `sem-train analyse` leaves it, drawn by hand: a layer of known thickness with pores on a substrate."""

import numpy as np
import tifffile
from PIL import Image

from sem_train.analysis.record import (
    Distribution,
    Failure,
    FolderRecord,
    ImageRecord,
    Legend,
    ProfileRecord,
    SpecimenRecord,
    write_record,
)
from sem_train.measure.tables.rows import Row

CLASSES = (
    Legend(id=0, name="resin", role="background"),
    Legend(id=1, name="Fe2Al5", role="layer", colour=(230, 159, 0)),
    Legend(id=2, name="steel", role="substrate", colour=(86, 180, 233)),
    Legend(id=3, name="pore", role="inclusion", host="Fe2Al5", colour=(0, 158, 115)),
)
PIXEL = 0.25  # µm
TOP, BOTTOM = 30, 78  # rows of the layer: 48 pixels, 12 µm


def rows_of(name, mean, standard=0.2, present=1, resolved=1, usable=100.0):
    """The rows that the page looks at, and some more."""
    interval = (mean - 2.1 * standard, mean + 2.1 * standard) if standard else (None, None)
    layer = lambda quantity, value, unit="", **more: Row(name, "layer", "Fe2Al5", "", quantity, value, unit, "", **more)
    return (
        layer("present", present),
        layer("thickness_mean", mean, "um", standard_uncertainty=standard, low_95=interval[0], high_95=interval[1],
              method="ISO 1463:2021"),
        layer("thickness_sd", 0.5, "um"),
        layer("resolved", resolved),
        layer("normals_usable", usable, "%"),
        layer("tilt", -6.75, "deg"),
        layer("local_thickness_max", None, "um"),
        Row(name, "inclusion", "pore", "Fe2Al5", "area_percent", 4.3, "%", "", 0.5 if standard else None, 3.1, 5.5,
            "ASTM E2109"),
        Row(name, "inclusion", "pore", "Fe2Al5", "count", 12, "", ""),
        Row(name, "line", "pore", "Fe2Al5", "present", 1, "", ""),
        Row(name, "line", "pore", "Fe2Al5", "depth", 6.0, "um", "", 0.1, 5.8, 6.2),
    )  # fmt: skip


def add_image(folder, name, specimen="A", mean=12.0, size=(120, 160), noise=0, **changes):
    """Write the files of one image; `changes` replace fields of its record or arguments of `rows_of`."""
    height, width = size
    labels = np.zeros(size, dtype=np.uint8)
    labels[TOP:BOTTOM], labels[BOTTOM:] = 1, 2
    labels[50:54, 40:44] = 3
    random = np.random.default_rng(noise)
    grey = np.array([40, 120, 180, 20], dtype=np.float64)[labels] + random.normal(0, 12, size)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.jpg", quality=88)
    tifffile.imwrite(folder / f"{name}_labels.tif", labels)
    x = np.arange(0, width, 4)
    thickness = [None if i == 3 else 0.0 if i == 5 else (BOTTOM - TOP) * PIXEL for i in range(len(x))]
    asked = {key: changes.pop(key) for key in ("standard", "present", "resolved", "usable") if key in changes}
    record = ImageRecord(
        name=name, source=f"scans/{name}.tif", sha256="0" * 64, specimen=specimen, width_px=width, height_px=height,
        unit="um", pixel_size_um=PIXEL, scale_source="metadata", classes=CLASSES, rows=rows_of(name, mean, **asked),
        profiles={
            "Fe2Al5": ProfileRecord(
                along=tuple(float(v) * PIXEL for v in x), thickness=tuple(thickness),
                outer_xy=tuple((float(v), TOP - 0.5) for v in x), inner_xy=tuple((float(v), BOTTOM - 0.5) for v in x),
            )
        },
        distributions={
            "pore ecd": Distribution(title="pore, equivalent circle diameter", unit="um",
                                     values=tuple(float(v) for v in random.lognormal(0, 0.4, 40))),
        },
        provenance={"model": "runs/unet", "commit": "abc"},
    )  # fmt: skip
    record = record.model_copy(update=changes)
    write_record(folder, record)
    return record


def write_folder(folder, records, failures=(), specimens=()):
    """Write what is known of all images together."""
    write_record(
        folder,
        FolderRecord(
            images=tuple(r.name for r in records), failures=failures, specimens=specimens,
            command="sem-train analyse scans/*.tif --model runs/unet --out results", provenance={"semforge": "0.1.0"},
        ),
    )  # fmt: skip


def batch(folder, count, **changes):
    """Images of increasing thickness, two a specimen, one of them not analysed; specimens are combined."""
    records = [
        add_image(folder, f"image-{i:03d}", f"S{i // 2}", mean=float(9 + i), noise=i, **changes) for i in range(count)
    ]
    specimens = tuple(
        SpecimenRecord(name=name, images=tuple(r.name for r in records if r.specimen == name),
                       rows=rows_of(name, next(r.rows[1].value for r in records if r.specimen == name) + 0.5))
        for name in dict.fromkeys(r.specimen for r in records)
    )  # fmt: skip
    write_folder(folder, records, (Failure(source="scans/torn.tif", reason="cannot be read as an image"),), specimens)
    return records
