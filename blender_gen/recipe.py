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

from blender_gen.distributions import Fraction, Number, between, positive
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
    pixel_size_um: Annotated[Number, between(1e-4, 50)]
    centre_on: Name  # the layer whose middle is placed in the frame
    centre_at: Fraction  # where, as a fraction of the frame's height from its top
    # rotation of the specimen in the image plane
    tilt_deg: Annotated[Number, between(-90, 90)] = Field(0.0, validate_default=True)


class Roughness(Settings):
    """One scale of deviation of an interface from a plane: a Gaussian random field."""

    rms_um: Annotated[Number, between(0, 1000)]
    correlation_um: Annotated[Number, positive(1e5)]  # distance at which the correlation falls to 1/e
    shape: Literal["smooth", "tongues", "scallops"] = "smooth"  # tongues point inwards, scallops bulge outwards


class PoreLine(Settings):
    """A band of inclusions parallel to the surface."""

    probability: float = Field(1.0, ge=0, le=1)
    depth_fraction: Fraction  # depth below the layer's outer surface over the layer's thickness
    half_width_um: Annotated[Number, positive(1000)]
    coverage: Fraction  # share of the line's length that is covered by inclusions


class Inclusion(Settings):
    """A population of bodies inside a layer.

    `ecd_um` is the diameter of the sphere of equal volume, of the bodies that the section cuts.
    """

    name: Name
    material: Solid
    probability: float = Field(1.0, ge=0, le=1)
    # of the layer's section, or of the bodies it lies within; overlaps count twice
    area_percent: Annotated[Number, between(0, 95)]
    ecd_um: Annotated[Number, positive(2000)]
    shape: Literal["irregular", "smooth", "angular"] = "irregular"
    irregularity: Fraction = Field(0.2, validate_default=True)  # relative rms deviation from an ellipsoid
    aspect: Annotated[Number, between(1, 50)] = Field(1.0, validate_default=True)  # longest over shortest axis
    # long axis
    orientation_deg: Annotated[Number, between(-360, 360)] = Field(
        {"uniform": {"low": -90, "high": 90}}, validate_default=True
    )
    where: Literal["interior", "outer_interface", "inner_interface"] = "interior"
    depth_fraction: Fraction = Field({"uniform": {"low": 0, "high": 1}}, validate_default=True)
    # mean number of further bodies near each one
    clusters: Annotated[Number, between(0, 50)] = Field(0.0, validate_default=True)
    within: Name | None = None  # only inside bodies of this earlier population
    clipped: bool = True  # cut off where the layer ends
    line: PoreLine | None = None


class Cracks(Settings):
    """Cracks across a layer or along it."""

    name: Name
    probability: float = Field(1.0, ge=0, le=1)
    direction: Literal["across", "along"] = "across"
    per_mm: Annotated[Number, between(0, 5000)]  # number over length of layer
    opening_um: Annotated[Number, positive(1000)]
    # of the thickness, or of the frame if along
    length_fraction: Annotated[Number, positive(10)] = Field(1.0, validate_default=True)
    start: Literal["outer", "inner", "either", "interior"] = "outer"
    depth_fraction: Fraction = Field(0.5, validate_default=True)  # of cracks along the layer
    inclination_deg: Annotated[Number, between(-75, 75)] = Field(
        {"normal": {"mean": 0, "sd": 8}}, validate_default=True
    )
    # rms deviation from a straight line over its length
    wander: Annotated[Number, between(0, 2)] = Field(0.06, validate_default=True)
    branch_probability: float = Field(0.0, ge=0, le=1)
    interrupted_probability: float = Field(0.0, ge=0, le=1)
    clipped: bool = True


class Grains(Settings):
    """Orientation (channelling) contrast: grains that differ slightly in brightness."""

    size_um: Annotated[Number, positive(1e5)]
    contrast: Annotated[Number, between(0, 1)]  # relative standard deviation of the backscattered signal between grains


class Mottle(Settings):
    """Slow changes of brightness: a Gaussian random field."""

    rms: Annotated[Number, between(0, 1)]  # relative to the signal
    correlation_um: Annotated[Number, positive(1e5)]


class Layer(Settings):
    """One layer. All but the first and the last have a thickness."""

    name: Name
    material: Solid
    probability: float = Field(1.0, ge=0, le=1)  # that the layer is there at all
    thickness_um: Annotated[Number, positive(1e4)] | None = None
    surface: tuple[Roughness, ...] = ()  # added by this layer's outer interface to the roughness of what lies below
    inclusions: tuple[Inclusion, ...] = ()
    cracks: tuple[Cracks, ...] = ()
    # factor on the signal: charging, dissolved elements
    brightness: Annotated[Number, positive(20)] = Field(1.0, validate_default=True)
    grains: Grains | None = None
    mottle: Mottle | None = None

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

    beam_kev: Annotated[Number, between(1, 50)]
    beam_current_na: Annotated[Number, positive(1e4)]
    dwell_us: Annotated[Number, positive(1e6)]
    collection: Annotated[Number, positive(1)]  # detected share of the backscattered electrons
    # a solid-state detector counts energy above it
    threshold_kev: Annotated[Number, between(0, 20)] = Field(2.0, validate_default=True)
    probe_um: Annotated[Number, between(0, 10)]  # standard deviation of the probe, defocus included
    astigmatism: Annotated[Number, between(1, 10)] = Field(1.0, validate_default=True)  # ratio of the probe's axes
    boundary_contrast: Fraction = Field({"uniform": {"low": 0.0, "high": 0.4}}, validate_default=True)
    read_noise: Annotated[Number, between(0, 1)] = Field(0.002, validate_default=True)  # of full scale

    @model_validator(mode="after")
    def _beam_over_threshold(self) -> "BackscatterDetector":
        least, most = self.beam_kev.support()[0], self.threshold_kev.support()[1]
        if least < 2 * most:
            raise ValueError(f"beam_kev can be {least:g}, less than twice threshold_kev, which can be {most:g}")
        return self


class Greys(Settings):
    """How counts become grey levels, as an operator sets brightness and contrast."""

    dark: Annotated[Number, between(-1, 1)]  # grey level, 0 to 1, of the dimmest percentile of the noise-free image
    bright: Annotated[Number, between(0, 2)]  # of the brightest percentile
    gamma: Annotated[Number, between(0.1, 10)] = Field(1.0, validate_default=True)
    bits: Literal[8, 16] = 8

    @model_validator(mode="after")
    def _bright_over_dark(self) -> "Greys":
        dark, bright = self.dark.support()[1], self.bright.support()[0]
        if bright < dark + 0.05:
            raise ValueError(f"bright can be {bright:g} and dark {dark:g}; bright must be above dark by 0.05 at least")
        return self


class Preparation(Settings):
    """What grinding, polishing and mounting leave; the same in every image of a specimen."""

    filled_pores: Fraction = Field(0.5, validate_default=True)  # share of voids that resin has filled
    scratches: Annotated[Number, between(0, 500)] = Field(0.0, validate_default=True)  # number in the frame
    scratch_depth: Fraction = Field(0.03, validate_default=True)  # relative change of signal


class Artefacts(Settings):
    """What charging and electronics add to an image."""

    shading: Fraction = Field(0.0, validate_default=True)  # relative, over the frame
    banding: Fraction = Field(0.0, validate_default=True)  # relative gain noise a line
    resin_glow: Annotated[Number, between(0, 50)] = Field(0.0, validate_default=True)  # in units of resin's own signal
    line_jitter_px: Annotated[Number, between(0, 20)] = Field(0.0, validate_default=True)


class Imaging(Settings):
    """Everything between specimen and micrograph."""

    images_per_specimen: int = Field(1, ge=1, le=64)
    preparation: Preparation = Preparation()
    detector: BackscatterDetector
    greys: Greys
    artefacts: Artefacts = Artefacts()


class CoatingRecipe(Settings):
    """A layered coating in cross-section."""

    family: Literal["coating"]
    name: str
    description: str = ""
    frame: Frame
    layers: tuple[Layer, ...] = Field(min_length=3)
    imaging: Imaging

    @model_validator(mode="after")
    def _layers_fit(self) -> "CoatingRecipe":
        names = [layer.name for layer in self.layers]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"layer {', '.join(sorted(twice))} is given twice")
        for layer in self.layers[1:-1]:
            if layer.thickness_um is None:
                raise ValueError(f"layer {layer.name!r} needs thickness_um; only the first and last go without")
        for layer, place in ((self.layers[0], "first"), (self.layers[-1], "last")):
            if layer.thickness_um is not None:
                raise ValueError(f"the {place} layer, {layer.name!r}, fills the frame and takes no thickness_um")
            if any(inclusion.line for inclusion in layer.inclusions):
                raise ValueError(f"the {place} layer, {layer.name!r}, has no depth to put a line of inclusions at")
        if self.frame.centre_on not in names[1:-1]:
            found, middle = self.frame.centre_on, ", ".join(names[1:-1]) or "none"
            raise ValueError(f"frame.centre_on is {found!r}; layers with a middle: {middle}")
        for layer in self.layers:
            if layer.probability < 1 and layer.name in (names[0], names[-1], self.frame.centre_on):
                raise ValueError(f"layer {layer.name!r} is first, last or centred on, so it is always there; "
                                 "it takes no probability")  # fmt: skip
        if len(self.phase_names) > 255:
            raise ValueError("more than 255 phases")
        return self

    @property
    def phase_names(self) -> tuple[str, ...]:
        """All phases that a label map can hold; the phase id is the position."""
        return tuple(self._owners())

    @property
    def phase_materials(self) -> tuple[str, ...]:
        """The material of each phase, in the order of `phase_names`."""
        return tuple(material for material, _, _ in self._owners().values())

    @property
    def hosts(self) -> dict[str, str]:
        """The layer that each inclusion and crack phase lies in."""
        return {name: host for name, (_, host, kind) in self._owners().items() if kind != "layer"}

    @property
    def crack_names(self) -> tuple[str, ...]:
        """The phases that are cracks."""
        return tuple(name for name, (_, _, kind) in self._owners().items() if kind == "crack")

    def _owners(self) -> dict[str, tuple[str, str, str]]:
        """Material, layer and kind of each phase, in order."""
        owners: dict[str, tuple[str, str, str]] = {}
        for layer in self.layers:
            inclusions = [(b.name, b.material, "inclusion") for b in layer.inclusions]
            cracks = [(c.name, VOID, "crack") for c in layer.cracks]
            for name, material, kind in [(layer.name, layer.material, "layer"), *inclusions, *cracks]:
                use = (material, layer.name, kind)
                if owners.setdefault(name, use) != use:
                    raise ValueError(f"phase {name!r} is used for two materials, two layers, or for a layer, an "
                                     "inclusion and a crack; give each its own name")  # fmt: skip
            lines = [inclusion.name for inclusion in layer.inclusions if inclusion.line]
            if len(set(lines)) < len(lines):
                raise ValueError(f"layer {layer.name!r}: two lines of one inclusion; give each its own name")
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
