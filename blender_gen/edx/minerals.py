"""Natural compositions: a mineral is a mixture of end members, no two grains the same."""

import difflib
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from blender_gen.phases import Material, materials, parse_formula
from semforge.errors import InputError
from semforge.spectra.lines import atomic_weight


@dataclass(frozen=True)
class Mineral:
    """A solid solution: end members by formula, with the range of each one's amount in moles."""

    name: str
    ends: tuple[tuple[str, float, float], ...]

    def drawn(self, rng: np.random.Generator) -> Material:
        """A grain of it: amounts drawn uniformly from their ranges, density that of the material of its name."""
        return self.mixed([rng.uniform(low, high) for _, low, high in self.ends])

    def middle(self) -> Material:
        """The composition of the middle of all ranges."""
        return self.mixed([(low + high) / 2 for _, low, high in self.ends])

    def mixed(self, amounts: list[float]) -> Material:
        """End members by amount, in moles."""
        masses: dict[str, float] = {}
        for (formula, _, _), amount in zip(self.ends, amounts, strict=True):
            molar = molar_mass(formula)
            for element, fraction in parse_formula(formula).items():
                masses[element] = masses.get(element, 0.0) + amount * molar * fraction
        total = sum(masses.values())
        shares = tuple((element, mass / total) for element, mass in masses.items() if mass > 0)
        return replace(materials()[self.name], mass_fractions=shares)


@cache
def minerals() -> dict[str, Mineral]:
    """All minerals of minerals.yaml."""
    text = (files("blender_gen") / "assets" / "minerals.yaml").read_text(encoding="utf-8")
    return {
        name: Mineral(name, tuple((formula, float(low), float(high)) for formula, (low, high) in ends.items()))
        for name, ends in yaml.safe_load(text).items()
    }


def specimen(name: str, rng: np.random.Generator) -> Material:
    """A grain of a mineral, or the material itself where no ranges are known. InputError if there is none."""
    if name in minerals():
        return minerals()[name].drawn(rng)
    return phase(name)


def phase(name: str) -> Material:
    """A material by name. Raises InputError that names the nearest ones."""
    table = materials()
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "the phases are those of blender_gen/assets/materials.yaml"
    raise InputError(f"phase {name!r} is not known; {hint}")


def molar_mass(formula: str) -> float:
    """g/mol of a formula."""
    return sum(float(n or 1) * atomic_weight(e) for e, n in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula))
