"""Mudrock in polished section: silt grains in a matrix of clay platelets, with organic matter and pores.

The bedding lies along the frame's horizontal, turned by `frame.tilt_deg`.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from blender_gen.distributions import Fraction, Number, between, positive
from blender_gen.phases import VOID
from blender_gen.recipe.coating import Inclusion
from blender_gen.recipe.common import Appearance, Frame, Name, Solid, refuse_large_specks
from blender_gen.recipe.edx import Edx
from blender_gen.recipe.imaging import Imaging
from semforge.settings import Settings

CLAY, SHADOW_PORE = "clay", "shadow_pore"
DENSEST_SILT_PERCENT = 50.0  # grains put down at random, without overlap, jam near 55 % (discs of one size: 54.7 %)
JAMMED_PERCENT = 55.0  # of the plane, by discs put down at random, the clay that keeps them apart included
FULLEST_PERCENT = 90.0


class Matrix(Appearance):
    """The clay."""

    material: Solid = "illite"


class Mineral(Settings):
    """One kind of silt grain."""

    name: Name
    material: Solid
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)  # relative number
    shape: Literal["irregular", "smooth", "angular"] = "angular"
    irregularity: Fraction = Field(0.1, validate_default=True)
    look: Appearance | None = None


class Silt(Settings):
    """Grains that do not overlap, larger than 2 µm across as bodies; the section cuts them anywhere."""

    area_percent: Annotated[Number, between(0, DENSEST_SILT_PERCENT)]
    ecd_um: Annotated[Number, between(2, 2000)]  # diameter of the sphere of equal volume
    aspect: Annotated[Number, between(1, 20)] = Field(1.5, validate_default=True)
    orientation_deg: Annotated[Number, between(-360, 360)] = Field(0.0, validate_default=True)  # long axis, to bedding
    spacing_um: Annotated[Number, between(0, 100)] = Field(0.0, validate_default=True)  # least clay between two grains
    minerals: tuple[Mineral, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _spacing_leaves_room(self) -> "Silt":
        """Half the spacing around each grain belongs to it."""
        least, spacing = self.area_percent.support()[0], self.spacing_um.support()[0]
        median = self.ecd_um.quantile(0.5)
        taken = least * (1 + spacing / median) ** 2
        if taken > JAMMED_PERCENT:
            fits = median * ((JAMMED_PERCENT / least) ** 0.5 - 1)
            raise ValueError(f"silt: {least:g} % of grains {median:.3g} µm across that keep {spacing:g} µm apart take "
                             f"{taken:.3g} % of the section, {JAMMED_PERCENT:g} % can be packed; keep spacing_um below "
                             f"{fits:.2g} or lower area_percent")  # fmt: skip
        return self


class ShadowPores(Settings):
    """Pores in the pressure shadow beside silt grains, where compaction did not reach."""

    area_percent: Annotated[Number, between(0, 20)]  # of the frame; what a grain hides counts
    ecd_um: Annotated[Number, positive(100)]
    aspect: Annotated[Number, between(1, 50)] = Field(3.0, validate_default=True)
    orientation_deg: Annotated[Number, between(-360, 360)] = Field(0.0, validate_default=True)
    spread_deg: Annotated[Number, between(0, 90)] = Field(30.0, validate_default=True)  # about the grain's bedding ends


class MudrockRecipe(Settings):
    """Mudrock in polished section."""

    family: Literal["mudrock"]
    name: str
    description: str = ""
    frame: Frame
    matrix: Matrix
    silt: Silt
    organic: tuple[Inclusion, ...] = ()
    pores: tuple[Inclusion, ...] = ()  # between platelets, or within organic matter
    shadow_pores: ShadowPores | None = None
    imaging: Imaging
    edx: Edx | None = None  # spectra; without it no part of a hash

    @model_validator(mode="after")
    def _fits(self) -> "MudrockRecipe":
        names = [m.name for m in self.silt.minerals] + [b.name for b in self.organic]
        names += list(dict.fromkeys(p.name for p in self.pores))  # one phase may have several populations
        reserved = {CLAY, SHADOW_PORE} & set(names)
        if reserved or len(set(names)) < len(names):
            raise ValueError(f"silt, organic and pores need names of their own, other than {CLAY} and {SHADOW_PORE}; "
                             f"found {', '.join(names)}")  # fmt: skip
        for pore in self.pores:
            if pore.material != VOID:
                raise ValueError(f"pore {pore.name!r} is made of {pore.material}, expected {VOID}")
        for body in (*self.organic, *self.pores):
            if body.line is not None or body.where != "interior":
                raise ValueError(f"{body.name!r}: mudrock has no layers, so neither 'line' nor 'where' can be given")
            if body.within is not None and body.within not in {b.name for b in self.organic}:
                known = ", ".join(b.name for b in self.organic) or "none"
                raise ValueError(f"{body.name!r}: 'within' names {body.within!r}; organic matter: {known}")
        if any(m.material == VOID for m in self.silt.minerals) or self.matrix.material == VOID:
            raise ValueError(f"silt and matrix cannot be made of {VOID}")
        shares = [self.silt.area_percent] + [b.area_percent for b in (*self.organic, *self.pores) if b.within is None]
        shares += [self.shadow_pores.area_percent] if self.shadow_pores else []
        most = sum(share.support()[1] for share in shares)
        if most > FULLEST_PERCENT:
            raise ValueError(f"silt, organic matter and pores can fill {most:g} % of the section; "
                             f"at most {FULLEST_PERCENT:g} % leaves room for clay: lower area_percent")  # fmt: skip
        refuse_large_specks(self.appearances, self.frame.pixel_size_um.support()[0])
        return self

    @property
    def phase_names(self) -> tuple[str, ...]:
        """All phases that a label map can hold; the phase id is the position."""
        return tuple(self._materials())

    @property
    def phase_materials(self) -> tuple[str, ...]:
        """The material of each phase, in the order of `phase_names`."""
        return tuple(self._materials().values())

    @property
    def appearances(self) -> dict[str, Appearance]:
        """How the surface of a phase looks, for the phases that say so."""
        looks: dict[str, Appearance] = {CLAY: self.matrix}
        looks |= {mineral.name: mineral.look for mineral in self.silt.minerals if mineral.look is not None}
        return looks | {body.name: body.look for body in self.organic if body.look is not None}

    def _materials(self) -> dict[str, str]:
        owners = {CLAY: self.matrix.material}
        owners |= {m.name: m.material for m in self.silt.minerals}
        owners |= {b.name: b.material for b in self.organic}
        owners |= {p.name: p.material for p in self.pores}
        return owners | ({SHADOW_PORE: VOID} if self.shadow_pores else {})
