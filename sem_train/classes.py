"""Training classes: what a model tells apart, and what each class means to a measurement.

One data set serves many label sets: a sample stores phases (synthetic) or grey values
(real label images), and the class map of the training configuration turns them into class ids.
"""

import json
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from semforge.errors import InputError
from semforge.settings import Settings

Role = Literal["background", "outside", "layer", "substrate", "inclusion", "crack", "particle"]


class LabelClass(Settings):
    """One class. Its id is its position in the class map."""

    name: str
    role: Role = "background"
    host: str | None = None  # the layer that an inclusion or crack lies in
    phases: tuple[str, ...] = ()  # phase names in synthetic sample files, or patterns: "silt_*", "*" for the rest
    values: tuple[int, ...] = ()  # grey values in real label images

    @model_validator(mode="after")
    def _inclusions_have_hosts(self) -> "LabelClass":
        if self.role in ("inclusion", "crack") and not self.host:
            raise ValueError(f"class {self.name!r} has role {self.role!r} and needs 'host', the layer it lies in")
        return self


class ClassMap(Settings):
    """All classes of a model, in order of class id."""

    classes: tuple[LabelClass, ...] = Field(min_length=2, max_length=255)

    @model_validator(mode="after")
    def _consistent(self) -> "ClassMap":
        for what, items in (
            ("class name", [c.name for c in self.classes]),
            ("phase", [p for c in self.classes for p in c.phases]),
            ("label value", [str(v) for c in self.classes for v in c.values]),
        ):
            twice = sorted({i for i in items if items.count(i) > 1})
            if twice:
                raise ValueError(f"{what} {', '.join(twice)} is given twice")
        layers = {c.name for c in self.classes if c.role == "layer"}
        for c in self.classes:
            if c.host is not None and c.host not in layers:
                raise ValueError(f"class {c.name!r}: host {c.host!r} is not a class of role 'layer'")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order of id."""
        return tuple(c.name for c in self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def id_of(self, name: str) -> int:
        """Class id of a class name. Raises KeyError if there is none."""
        return {n: i for i, n in enumerate(self.names)}[name]

    def with_role(self, role: Role) -> tuple[LabelClass, ...]:
        """The classes of one role, in order of id."""
        return tuple(c for c in self.classes if c.role == role)

    def within(self, host: str) -> tuple[LabelClass, ...]:
        """The inclusions and cracks that lie in a layer."""
        return tuple(c for c in self.classes if c.host == host)

    def lookup_phases(self, phase_names: tuple[str, ...]) -> np.ndarray:
        """Table (256,) uint8 from phase id to class id: by name, else by the longest pattern that fits.

        Raises InputError if the data has a phase that no class takes.
        """
        patterns = [(pattern, i) for i, c in enumerate(self.classes) for pattern in c.phases]
        by_length = sorted(patterns, key=lambda item: len(item[0]), reverse=True)
        exact = dict(patterns)
        owner = {name: i for name in phase_names for pattern, i in reversed(by_length) if fnmatchcase(name, pattern)}
        owner |= {name: exact[name] for name in phase_names if name in exact}
        missing = [name for name in phase_names if name not in owner]
        if missing:
            raise InputError(f"phases {', '.join(missing)} of the data belong to no class; add them to 'phases' of one")
        table = np.zeros(256, dtype=np.uint8)
        table[: len(phase_names)] = [owner[name] for name in phase_names]
        return table

    def lookup_values(self) -> np.ndarray:
        """Table (65536,) int16 from grey value of a label image to class id; -1 where no class takes the value."""
        table = np.full(65536, -1, dtype=np.int16)
        for i, c in enumerate(self.classes):
            table[list(c.values)] = i
        return table

    def to_json(self) -> str:
        """As text, to travel in checkpoints and in the metadata of label images."""
        return json.dumps(self.model_dump()["classes"])

    @classmethod
    def from_json(cls, text: str) -> "ClassMap":
        """Inverse of `to_json`."""
        return cls(classes=json.loads(text))
