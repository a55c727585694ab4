"""What a user may write in a recipe, validated once when it is loaded.

A coating is an ordered list of layers from the outside inwards; the last one is the substrate
and fills the frame. Lengths are in µm in the specimen, fractions and percentages refer to the
section plane, angles are in degrees.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator

from blender_gen.distributions import AnyNumber, Fraction, NotNegative, Percent, Positive
from blender_gen.phases import VOID, materials
from semforge.errors import InputError
from semforge.files import existing_file
from semforge.settings import Settings, parse_yaml, validate


def _known_material(name: str) -> str:
    if name != VOID and name not in materials():
        raise ValueError(f"unknown material {name!r}; known: {VOID}, {', '.join(sorted(materials()))}")
    return name


Solid = Annotated[str, AfterValidator(_known_material)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Frame(Settings):
    """What the microscope looks at."""

    width_px: int = Field(512, ge=16, le=16384)
    height_px: int = Field(512, ge=16, le=16384)
    pixel_size_um: Positive
    centre_on: Name  # the layer whose middle is placed in the frame
    centre_at: Fraction  # where, as a fraction of the frame's height from its top
    tilt_deg: AnyNumber = Field(0.0, validate_default=True)  # rotation of the specimen in the image plane


class Roughness(Settings):
    """One scale of deviation of an interface from a plane: a Gaussian random field."""

    rms_um: NotNegative
    correlation_um: Positive  # distance at which the correlation falls to 1/e
    shape: Literal["smooth", "tongues", "scallops"] = "smooth"  # tongues point inwards, scallops bulge outwards


class PoreLine(Settings):
    """A band of inclusions parallel to the surface."""

    probability: float = Field(1.0, ge=0, le=1)
    depth_fraction: Fraction  # depth below the layer's outer surface over the layer's thickness
    half_width_um: Positive
    coverage: Fraction  # share of the line's length that is covered by inclusions


class Inclusion(Settings):
    """A population of bodies inside a layer. `ecd_um` is the diameter of the sphere of equal volume."""

    name: Name
    material: Solid
    probability: float = Field(1.0, ge=0, le=1)
    area_percent: Percent  # of the layer's section, the layer's inclusions included
    ecd_um: Positive
    shape: Literal["irregular", "smooth", "angular"] = "irregular"
    irregularity: Fraction = Field(0.2, validate_default=True)  # relative rms deviation from an ellipsoid
    aspect: Positive = Field(1.0, validate_default=True)  # longest over shortest axis
    orientation_deg: AnyNumber = Field({"uniform": {"low": -90, "high": 90}}, validate_default=True)  # long axis
    where: Literal["interior", "outer_interface", "inner_interface"] = "interior"
    depth_fraction: Fraction = Field({"uniform": {"low": 0, "high": 1}}, validate_default=True)
    clusters: NotNegative = Field(0.0, validate_default=True)  # mean number of further bodies near each one
    within: Name | None = None  # only inside bodies of this earlier population
    clipped: bool = True  # cut off where the layer ends
    line: PoreLine | None = None


class Cracks(Settings):
    """Cracks across a layer or along it."""

    name: Name
    probability: float = Field(1.0, ge=0, le=1)
    direction: Literal["across", "along"] = "across"
    per_mm: NotNegative  # number over length of layer
    opening_um: Positive
    length_fraction: Positive = Field(1.0, validate_default=True)  # of the thickness, or of the frame if along
    start: Literal["outer", "inner", "either", "interior"] = "outer"
    depth_fraction: Fraction = Field(0.5, validate_default=True)  # of cracks along the layer
    inclination_deg: AnyNumber = Field({"normal": {"mean": 0, "sd": 8}}, validate_default=True)
    wander: NotNegative = Field(0.06, validate_default=True)  # rms deviation from a straight line over its length
    branch_probability: float = Field(0.0, ge=0, le=1)
    interrupted_probability: float = Field(0.0, ge=0, le=1)
    clipped: bool = True


class Grains(Settings):
    """Orientation (channelling) contrast: grains that differ slightly in brightness."""

    size_um: Positive
    contrast: NotNegative  # relative standard deviation of the backscattered signal between grains


class Layer(Settings):
    """One layer. All but the substrate have a thickness."""

    name: Name
    material: Solid
    probability: float = Field(1.0, ge=0, le=1)  # that the layer is there at all
    thickness_um: Positive | None = None
    surface: tuple[Roughness, ...] = ()  # of the outer interface
    inclusions: tuple[Inclusion, ...] = ()
    cracks: tuple[Cracks, ...] = ()
    brightness: Positive = Field(1.0, validate_default=True)  # factor on the signal: charging, dissolved elements
    grains: Grains | None = None
    mottle: Roughness | None = None  # slow brightness changes: rms is relative, e.g. 0.02

    @model_validator(mode="after")
    def _within_is_known(self) -> "Layer":
        if self.material == VOID:
            raise ValueError(f"layer {self.name!r} cannot be made of {VOID}")
        for i, inclusion in enumerate(self.inclusions):
            earlier = {other.name for other in self.inclusions[:i]}
            if inclusion.within is not None and inclusion.within not in earlier:
                raise ValueError(f"inclusion {inclusion.name!r}: 'within' names {inclusion.within!r}, "
                                 f"earlier inclusions of the layer are: {', '.join(earlier) or 'none'}")  # fmt: skip
        return self


class BackscatterDetector(Settings):
    """How the backscattered-electron image is taken."""

    beam_kev: Positive
    beam_current_na: Positive
    dwell_us: Positive
    collection: Fraction  # detected share of the backscattered electrons
    threshold_kev: NotNegative = Field(2.0, validate_default=True)  # a solid-state detector counts energy above it
    probe_um: NotNegative  # standard deviation of the probe, defocus included
    astigmatism: Positive = Field(1.0, validate_default=True)  # ratio of the probe's axes
    boundary_contrast: Fraction = Field({"uniform": {"low": 0.0, "high": 0.4}}, validate_default=True)
    read_noise: NotNegative = Field(0.002, validate_default=True)  # of full scale

    @model_validator(mode="after")
    def _beam_over_threshold(self) -> "BackscatterDetector":
        least, most = self.beam_kev.support()[0], self.threshold_kev.support()[1]
        if least < 2 * most:
            raise ValueError(f"beam_kev can be {least:g}, less than twice threshold_kev, which can be {most:g}")
        return self


class Greys(Settings):
    """How counts become grey levels, as an operator sets brightness and contrast."""

    dark: AnyNumber  # grey level, 0 to 1, of the dimmest percentile of the noise-free image
    bright: AnyNumber  # of the brightest percentile
    gamma: Positive = Field(1.0, validate_default=True)
    bits: Literal[8, 16] = 8


class Artefacts(Settings):
    """What preparation, charging and electronics add."""

    shading: NotNegative = Field(0.0, validate_default=True)  # relative, over the frame
    banding: NotNegative = Field(0.0, validate_default=True)  # relative gain noise a line
    resin_glow: NotNegative = Field(0.0, validate_default=True)  # charging of resin, in units of its own signal
    scratches: NotNegative = Field(0.0, validate_default=True)  # number in the frame
    scratch_depth: NotNegative = Field(0.03, validate_default=True)  # relative change of signal
    filled_pores: Fraction = Field(0.5, validate_default=True)  # share of voids filled with resin
    line_jitter_px: NotNegative = Field(0.0, validate_default=True)


class Imaging(Settings):
    """Everything between specimen and micrograph."""

    images_per_specimen: int = Field(1, ge=1, le=64)
    detector: BackscatterDetector
    greys: Greys
    artefacts: Artefacts = Artefacts()


class CoatingRecipe(Settings):
    """A layered coating in cross-section."""

    family: Literal["coating"]
    name: str
    description: str = ""
    frame: Frame
    layers: tuple[Layer, ...] = Field(min_length=2)
    imaging: Imaging

    @model_validator(mode="after")
    def _layers_fit(self) -> "CoatingRecipe":
        names = [layer.name for layer in self.layers]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"layer {', '.join(sorted(twice))} is given twice")
        for layer in self.layers[1:-1]:
            if layer.thickness_um is None:
                raise ValueError(f"layer {layer.name!r} needs thickness_um; only the first and last may go without")
        if self.layers[-1].thickness_um is not None:
            raise ValueError(f"the last layer, {names[-1]!r}, is the substrate and takes no thickness_um")
        if self.frame.centre_on not in names[1:-1]:
            found, middle = self.frame.centre_on, ", ".join(names[1:-1]) or "none"
            raise ValueError(f"frame.centre_on is {found!r}; layers with a middle: {middle}")
        if len(self.phase_names) > 255:
            raise ValueError("more than 255 phases")
        self._owners()
        return self

    @property
    def phase_names(self) -> tuple[str, ...]:
        """All phases that a label map can hold; the phase id is the position."""
        return tuple(self._owners())

    @property
    def phase_materials(self) -> tuple[str, ...]:
        """The material of each phase, in the order of `phase_names`."""
        return tuple(material for material, _ in self._owners().values())

    def _owners(self) -> dict[str, tuple[str, str]]:
        owners: dict[str, tuple[str, str]] = {}
        for layer in self.layers:
            bodies = [(b.name, b.material) for b in layer.inclusions] + [(c.name, VOID) for c in layer.cracks]
            for name, material in [(layer.name, layer.material), *bodies]:
                if owners.setdefault(name, (material, layer.name)) != (material, layer.name):
                    raise ValueError(f"phase {name!r} is used for two materials or in two layers; give each its name")
        return owners


Recipe = CoatingRecipe
FAMILIES: dict[str, type[CoatingRecipe]] = {"coating": CoatingRecipe}


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read and validate a recipe file. Raises InputError with one line on anything wrong."""
    path = existing_file(path, "a recipe (YAML)")
    return parse_recipe(path.read_text(encoding="utf-8", errors="replace"), str(path), overrides)


def parse_recipe(text: str, source: str, overrides: Iterable[str] = ()) -> Recipe:
    """As `load_recipe`, from YAML text; `source` names it in messages."""
    values = parse_yaml(text, source, overrides)
    family = values.get("family")
    if family not in FAMILIES:
        raise InputError(f"{source}: family is {family!r}, expected one of: {', '.join(FAMILIES)}")
    return validate(values, FAMILIES[family], source)


def recipe_text(recipe: Recipe) -> str:
    """The recipe as canonical YAML: defaults written out, comments gone; `parse_recipe` reads it back."""
    return yaml.safe_dump(_plain(recipe), sort_keys=False, allow_unicode=True)


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of what the recipe makes; comments, description, key order and number formats do not change it."""
    values = {key: value for key, value in _plain(recipe).items() if key != "description"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _plain(recipe: Recipe) -> dict:
    return recipe.model_dump(mode="json", exclude_none=True)


def with_frame(recipe: Recipe, **changes: object) -> Recipe:
    """A copy with other frame settings, validated again."""
    values = _plain(recipe)
    values["frame"].update(changes)
    return validate(values, type(recipe), recipe.name)
