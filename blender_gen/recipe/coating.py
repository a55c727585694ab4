"""Coatings in cross-section: an ordered list of layers from the outside inwards.

The last layer is the substrate and fills the frame.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from blender_gen.distributions import Fraction, Number, between, positive
from blender_gen.phases import VOID
from blender_gen.recipe.common import SELDOM, Appearance, Frame, Name, Roughness, Solid, refuse_large_specks
from blender_gen.recipe.edx import Edx
from blender_gen.recipe.imaging import Imaging
from semforge.settings import Settings

FULLEST_PERCENT = 90.0  # of a layer's section that its inclusions may fill together


class CoatingFrame(Frame):
    """The frame, and which layer is placed in it."""

    centre_on: Name  # the layer whose middle is placed in the frame
    centre_at: Fraction  # where, as a fraction of the frame's height from its top


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
    # lamella: a plate along the layers, of uneven thickness
    shape: Literal["irregular", "smooth", "angular", "lamella"] = "irregular"
    irregularity: Fraction = Field(0.2, validate_default=True)  # relative rms deviation from an ellipsoid
    aspect: Annotated[Number, between(1, 50)] = Field(1.0, validate_default=True)  # longest over shortest axis
    # rise of the middle over the ends, as a share of half the length: arches that flow over what lies below
    bend: Annotated[Number, between(-2, 2)] = Field(0.0, validate_default=True)
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
    look: Appearance | None = None  # without it, bodies of the layer's own material look like the layer


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
    branches: Annotated[Number, between(0, 20)] = Field(0.0, validate_default=True)  # mean number a crack
    fork_probability: float = Field(0.0, ge=0, le=1)  # that the crack begins in two arms, like a Y
    jog_probability: float = Field(0.0, ge=0, le=1)  # that it steps aside on its way
    foot_probability: float = Field(0.0, ge=0, le=1)  # that its end turns along the interface
    interrupted_probability: float = Field(0.0, ge=0, le=1)
    clipped: bool = True


class Seam(Settings):
    """A phase along the boundaries between splats."""

    name: Name
    material: Solid
    probability: float = Field(1.0, ge=0, le=1)
    coverage: Fraction  # share of the boundaries
    thickness_um: Annotated[Number, positive(1000)]
    look: Appearance | None = None


class Splats(Settings):
    """Cells of a sprayed layer, flattened along it, with seams between them."""

    probability: float = Field(1.0, ge=0, le=1)
    width_um: Annotated[Number, positive(1e4)]
    height_um: Annotated[Number, positive(1e4)]
    warp: Annotated[Number, between(0, 2)] = Field(1.0, validate_default=True)  # 0: straight boundaries
    seams: tuple[Seam, ...] = Field(min_length=1)


class Layer(Appearance):
    """One layer. All but the first and the last have a thickness."""

    name: Name
    material: Solid
    probability: float = Field(1.0, ge=0, le=1)  # that the layer is there at all
    thickness_um: Annotated[Number, positive(1e4)] | None = None
    surface: tuple[Roughness, ...] = ()  # added by this layer's outer interface to the roughness of what lies below
    splats: Splats | None = None
    inclusions: tuple[Inclusion, ...] = ()
    cracks: tuple[Cracks, ...] = ()

    @property
    def seams(self) -> tuple[Seam, ...]:
        """What lies between the layer's splats."""
        return self.splats.seams if self.splats else ()

    @property
    def populations(self) -> "list[Seam | Inclusion]":
        """All that lies in the layer, cracks aside."""
        return [*self.seams, *self.inclusions]

    @model_validator(mode="after")
    def _inclusions_can_be_packed(self) -> "Layer":
        free = [b for b in self.inclusions if b.within is None and b.probability > 0]
        total = sum(b.area_percent.support()[1] for b in free)
        if total > FULLEST_PERCENT:
            fullest = max(free, key=lambda b: b.area_percent.support()[1])
            fits = FULLEST_PERCENT - total + fullest.area_percent.support()[1]
            raise ValueError(f"layer {self.name!r}: inclusions can fill {total:g} % of it, at most "
                             f"{FULLEST_PERCENT:g} % can be packed; keep area_percent of {fullest.name!r} to "
                             f"{max(fits, 0):g} or lower the others")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _within_is_known(self) -> "Layer":
        if self.material == VOID:
            raise ValueError(f"layer {self.name!r} cannot be made of {VOID}")
        for i, inclusion in enumerate(self.inclusions):
            earlier = sorted({other.name for other in self.inclusions[:i]})
            if inclusion.within is not None and inclusion.within not in earlier:
                raise ValueError(f"inclusion {inclusion.name!r}: 'within' names {inclusion.within!r}, "
                                 f"earlier inclusions of the layer are: {', '.join(earlier) or 'none'}")  # fmt: skip
        return self


class CoatingRecipe(Settings):
    """A layered coating in cross-section."""

    family: Literal["coating"]
    name: str
    description: str = ""
    frame: CoatingFrame
    layers: tuple[Layer, ...] = Field(min_length=3)
    imaging: Imaging
    edx: Edx | None = None  # spectra; without it no part of a hash

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
        self._centred_layer_fits()
        refuse_large_specks(self.appearances, self.frame.pixel_size_um.support()[0])
        return self

    def _centred_layer_fits(self) -> None:
        layer = next(layer for layer in self.layers if layer.name == self.frame.centre_on)
        assert layer.thickness_um is not None  # neither first nor last
        least, frame = layer.thickness_um.quantile(SELDOM), self.frame
        pixel_um = frame.pixel_size_um.support()[1]
        if least > frame.height_px * pixel_um:
            raise ValueError(f"layer {layer.name!r} is {least:.4g} µm thick or more, the frame at most "
                             f"{frame.height_px * pixel_um:.4g} µm high, so the layer is never seen whole; raise "
                             f"frame.height_px to {math.ceil(1.5 * least / pixel_um)}, raise frame.pixel_size_um or "
                             "make the layer thinner")  # fmt: skip

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

    @property
    def appearances(self) -> dict[str, Appearance]:
        """How the surface of a phase looks, for the phases that say so."""
        looks: dict[str, Appearance] = {}
        for layer in self.layers:
            looks[layer.name] = layer
            for inclusion in layer.populations:
                look = inclusion.look or (layer if inclusion.material == layer.material else None)
                if look is not None:
                    looks[inclusion.name] = look
        return looks

    def _owners(self) -> dict[str, tuple[str, str, str]]:
        """Material, layer and kind of each phase, in order."""
        owners: dict[str, tuple[str, str, str]] = {}
        for layer in self.layers:
            inclusions = [(b.name, b.material, "inclusion") for b in layer.populations]
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
