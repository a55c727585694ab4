"""Measurements as JSON, with all that a program may ask for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from sem_train.measure.field import FieldMeasurement
from sem_train.measure.tables.rows import Row

FORMAT = "semforge measurement"
VERSION = 1


def image_structure(
    image: str, field: FieldMeasurement, rows: Sequence[Row], more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One image: the field as it was measured, lengths in its `unit`, and its rows, each with its own unit.

    `more` is added by key.
    """
    return {"image": image, **plain(field), **plain(more or {}), "rows": [asdict_without_image(row) for row in rows]}


def asdict_without_image(row: Row) -> dict[str, Any]:
    """A row without the name of its image."""
    return {key: plain(value) for key, value in asdict(row).items() if key != "image"}


def document(images: Sequence[dict[str, Any]], failed: Mapping[str, str]) -> str:
    """JSON text of all images, and of those that could not be measured, each with the reason."""
    return json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "images": list(images),
            "failed": [{"image": image, "reason": reason} for image, reason in failed.items()],
        },
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )


def plain(value: Any) -> Any:
    """Dataclasses, arrays and numbers as JSON knows them; what is not a number (NaN) or infinite is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
