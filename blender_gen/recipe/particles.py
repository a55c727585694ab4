"""Particles on a substrate, seen from above: populations of shapes on tape, filter, wafer or support film.

Every distribution under `ecd`, `coverage`, `number` and `placement` is drawn once a specimen;
shapes and their parameters once a particle, or once a specimen where the particles are `alike`.
Sizes on a particle's surface are shares of its ECD, the diameter of the circle of equal projected
area.
"""

import difflib
import inspect
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from blender_gen.distributions import Distribution, Fraction, Number, between, positive
from blender_gen.phases import VOID
from blender_gen.recipe.common import SELDOM, Appearance, Name, Roughness, Solid, refuse_large_specks
from blender_gen.recipe.edx import Edx
from blender_gen.recipe.imaging import Imaging, Preparation, Probability
from blender_gen.shapes import SHAPES
from semforge.settings import Settings

Placement = Literal["apart", "monolayer", "chained", "clustered", "relaxed", "lattice", "dropped"]
# densest share of the frame that a placement can cover, by projected area
DENSEST: dict[str, float] = {
    "monolayer": 0.45,
    "apart": 0.5,
    "chained": 0.5,
    "clustered": 0.7,
    "relaxed": 0.75,
    "lattice": 1.0,
    "dropped": 3.0,
}
FLAT: frozenset[Placement] = frozenset({"apart", "monolayer", "chained"})  # beside all that is there already
MOST_PARTICLES = 3000
MOST_OPTION = 1000.0  # largest number that an option of a shape can be
_option_number: TypeAdapter[Distribution] = TypeAdapter(Annotated[Number, between(0, MOST_OPTION)])


def _weighted(value: Any) -> Any:
    """One choice is all of them."""
    return {value: 1.0} if isinstance(value, str) else value


def _weights_fit(choices: dict[str, float]) -> dict[str, float]:
    if sum(choices.values()) <= 0:
        raise ValueError("expected at least one choice with a weight above 0, and none below 0")
    return choices


def _no_void(choices: dict[str, float]) -> dict[str, float]:
    if VOID in choices:
        raise ValueError(f"particles cannot be made of {VOID}")
    return choices


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Materials = Annotated[
    dict[Solid, Weight], BeforeValidator(_weighted), AfterValidator(_weights_fit), AfterValidator(_no_void)
]
Placements = Annotated[dict[Placement, Weight], BeforeValidator(_weighted), AfterValidator(_weights_fit)]


class ParticleFrame(Settings):
    """What the microscope looks at, straight from above."""

    width_px: int = Field(512, ge=16, le=16384)
    height_px: int = Field(512, ge=16, le=16384)
    pixel_size_um: Annotated[Number, between(1e-5, 50)]


class Holes(Settings):
    """Round holes: the tracks of a track-etched membrane, the mesh of a holey film."""

    diameter_um: Annotated[Number, positive(1e3)]
    coverage: Annotated[Number, between(0, 0.6)]  # share of the area
    depth_um: Annotated[Number, positive(1e3)] = Field(10.0, validate_default=True)
    regular: Probability = 0.0  # that they stand on a square lattice; else at random, where they may overlap


class Pits(Settings):
    """Shallow round pits or bubbles of a tape."""

    diameter_um: Annotated[Number, positive(1e3)]
    coverage: Annotated[Number, between(0, 0.6)]
    depth: Annotated[Number, between(-0.5, 0.5)]  # over the diameter; below 0: bumps


class Substrate(Appearance):
    """What the particles lie on; phase 0 and instance 0 of the label maps."""

    name: Name = "substrate"
    kind: Literal["tape", "filter", "wafer", "film"]
    material: Solid
    roughness: tuple[Roughness, ...] = ()
    holes: Holes | None = None
    pits: Pits | None = None
    # of a film, for transmission; its roughness is a variation of thickness
    thickness_um: Annotated[Number, between(0, 5)] = Field(0.0, validate_default=True)

    @model_validator(mode="after")
    def _is_solid(self) -> "Substrate":
        if self.material == VOID:
            raise ValueError(f"the substrate cannot be made of {VOID}")
        if self.holes is not None and self.kind in ("tape", "wafer"):
            raise ValueError(f"a {self.kind} has no holes; kinds that have: filter, film")
        if self.kind != "film" and self.thickness_um.support()[1] > 0:
            raise ValueError(f"thickness_um is that of a film in transmission; a {self.kind} takes none")
        return self


class ShapeChoice(Settings):
    """One shape that particles of a population can have, and its parameters."""

    shape: str
    weight: Weight = 1.0
    aspect: Annotated[Number, between(1, 200)] = Field(1.0, validate_default=True)
    pose: Literal["resting", "random", "built"] = "resting"
    options: dict[str, Distribution | str] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _shape_and_options_are_known(cls, values: Any) -> Any:
        if isinstance(values, str):
            values = {"shape": values}
        if not isinstance(values, dict) or not isinstance(values.get("shape"), str):
            return values
        known = shape_options(values["shape"])
        options = values.get("options") or {}
        if not isinstance(options, dict):
            return values
        for name in options:
            if str(name) not in known:
                raise ValueError(f"{values['shape']} has no option {name!r}{nearest(str(name), known, 'options')}")
        return {**values, "options": {n: _option(values["shape"], n, v) for n, v in options.items()}}


def _one_has_weight(shapes: tuple[ShapeChoice, ...]) -> tuple[ShapeChoice, ...]:
    if sum(choice.weight for choice in shapes) <= 0:
        raise ValueError("expected at least one shape with a weight above 0")
    return shapes


class Sizes(Settings):
    """ECD of the particles of one specimen: lognormal about a median; both drawn once a specimen."""

    median_um: Annotated[Number, positive(1e4)]
    sigma_g: Annotated[Number, between(1, 6)] = Field(1.0, validate_default=True)
    min_um: float = Field(0.0, ge=0)
    max_um: float = Field(1e4, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Sizes":
        least, most = self.median_um.support()
        if not self.min_um < self.max_um:
            raise ValueError(f"min_um {self.min_um:g} is not below max_um {self.max_um:g}")
        if least < self.min_um or most > self.max_um:
            raise ValueError(f"median_um can be {least:g} to {most:g}, outside min_um {self.min_um:g} and max_um "
                             f"{self.max_um:g}")  # fmt: skip
        return self


class Core(Settings):
    """A core of another density, for transmission: above 1 denser than the shell, 0 hollow."""

    probability: Probability = 1.0  # that the particles of a specimen have one
    size: Annotated[Number, positive(0.98)]  # over the particle's
    density: Annotated[Number, between(0, 50)]  # mass thickness over that of the shell
    off_centre: Fraction = Field(0.0, validate_default=True)  # share of the way to the surface


class Skin(Settings):
    """How particles look beyond composition and shape; in transmission the same factors act on mass thickness."""

    brightness: Annotated[Number, positive(20)] = Field(1.0, validate_default=True)  # once a specimen
    variation: Annotated[Number, between(0, 1)] = Field(0.0, validate_default=True)  # relative sd between particles
    mottle: Annotated[Number, between(0, 1)] = Field(0.0, validate_default=True)  # relative rms on a particle
    mottle_size: Annotated[Number, positive(5)] = Field(0.2, validate_default=True)  # over the ECD
    sectors: Annotated[Number, between(0, 1)] = Field(0.0, validate_default=True)  # relative sd between crystal domains
    sector_size: Annotated[Number, positive(5)] = Field(0.5, validate_default=True)  # over the ECD
    bumps: Annotated[Number, between(0, 3)] = Field(0.0, validate_default=True)  # rms slope of fine relief
    bump_size: Annotated[Number, positive(2)] = Field(0.08, validate_default=True)  # over the ECD


class Population(Settings):
    """Particles of one kind. Several may share a name; those of one `one_of` exclude each other."""

    name: Name
    material: Materials
    shapes: Annotated[tuple[ShapeChoice, ...], Field(min_length=1), AfterValidator(_one_has_weight)]
    ecd: Sizes
    number: Annotated[Number, between(0, MOST_PARTICLES)] | None = None  # in the frame
    coverage: Annotated[Number, between(0, 3)] | None = None  # sum of projected areas over the frame's area
    placement: Placements = Field("apart", validate_default=True)
    gap: Annotated[Number, between(-0.3, 5)] = Field(0.0, validate_default=True)  # least, over the median ECD
    cluster_size: Annotated[Number, between(1, 1e4)] = Field(6.0, validate_default=True)  # mean number in a cluster
    # in clusters: share that lies on others
    upper: Fraction = Field(0.15, validate_default=True)
    disorder: Annotated[Number, between(0, 1)] = Field(0.05, validate_default=True)  # of a lattice: shifts, vacancies
    embedded: Fraction = Field(0.0, validate_default=True)  # share of the height that has sunk into the substrate
    flexible: bool = False  # bends over what it is dropped on, as fibres and foils do
    # that all particles of a specimen have one material and one shape with one set of parameters
    alike: Probability = 0.0
    probability: Probability = 1.0
    one_of: Name | None = None
    weight: Weight = 1.0  # among those of the same one_of
    background: bool = False  # debris that counts as substrate in label maps and truth
    skin: Skin = Skin()
    core: Core | None = None

    @model_validator(mode="after")
    def _can_be_packed(self) -> "Population":
        if (self.number is None) == (self.coverage is None):
            raise ValueError(f"population {self.name!r} needs exactly one of number and coverage")
        least = min(self.placement, key=DENSEST.__getitem__)
        if self.coverage is not None and self.coverage.support()[1] > DENSEST[least]:
            fits = [kind for kind, most in DENSEST.items() if most >= self.coverage.support()[1]]
            raise ValueError(f"population {self.name!r}: coverage can be {self.coverage.support()[1]:g}, but particles "
                             f"placed {least!r} cover {DENSEST[least]:g} at most; lower it or place them "
                             f"{' or '.join(fits)}")  # fmt: skip
        return self


class ParticlesRecipe(Settings):
    """A deposit of particles on a substrate."""

    family: Literal["particles"]
    name: str
    description: str = ""
    frame: ParticleFrame
    substrate: Substrate
    populations: Annotated[tuple[Population, ...], Field(min_length=1)]
    imaging: Imaging
    edx: Edx | None = None  # spectra; without it no part of a hash

    @model_validator(mode="after")
    def _fits_the_frame(self) -> "ParticlesRecipe":
        across = max(self.frame.width_px, self.frame.height_px) * self.frame.pixel_size_um.support()[1]
        area = self.frame.width_px * self.frame.height_px * self.frame.pixel_size_um.support()[1] ** 2
        for population in self.populations:
            if not population.background and population.name == self.substrate.name:
                raise ValueError(f"population {population.name!r} has the substrate's name; give it its own, or set "
                                 "background: true if it is debris")  # fmt: skip
            smallest = population.ecd.median_um.quantile(SELDOM)
            if smallest > across:
                raise ValueError(f"population {population.name!r}: median_um is at least {smallest:.4g}, the frame is "
                                 f"{across:g} µm across at most; use a larger pixel_size_um")  # fmt: skip
            if population.number is not None:
                least = population.number.support()[0] * 3.1416 / 4 * smallest**2 / area
                tightest = max(DENSEST[kind] for kind in population.placement)
                if least > tightest:
                    raise ValueError(f"population {population.name!r}: the smallest number of the smallest particles "
                                     f"covers {least:.2g} of the frame, {tightest:g} can be packed")  # fmt: skip
        self._those_on_the_ground_fit()
        refuse_large_specks(self.appearances, self.frame.pixel_size_um.support()[0])
        if len(self.phase_materials) > 255:
            raise ValueError("more than 255 phases and materials")
        return self

    def _those_on_the_ground_fit(self) -> None:
        sure = [
            p for p in self.populations
            if p.coverage is not None and p.probability == 1 and p.one_of is None and FLAT.issuperset(p.placement)
        ]  # fmt: skip
        least = sum(p.coverage.support()[0] for p in sure if p.coverage is not None)
        if least > DENSEST["apart"]:
            raise ValueError(f"populations {', '.join(repr(p.name) for p in sure)}: they lie beside each other and "
                             f"cover {least:.2g} of the frame or more together, {DENSEST['apart']:g} at most can be "
                             "packed; lower a coverage or let one be dropped")  # fmt: skip

    @model_validator(mode="after")
    def _one_of_each_can_be_drawn(self) -> "ParticlesRecipe":
        for tag in dict.fromkeys(p.one_of for p in self.populations if p.one_of is not None):
            if not any(p.weight > 0 for p in self.populations if p.one_of == tag):
                raise ValueError(f"all populations with one_of {tag!r} have weight 0; one must have more")
        return self

    @model_validator(mode="after")
    def _imaging_fits(self) -> "ParticlesRecipe":
        """Particles are not ground and polished, and electrons come only through a film."""
        if self.imaging.preparation != Preparation():
            changed = [n for n, v in Preparation() if getattr(self.imaging.preparation, n) != v]
            raise ValueError(f"imaging.preparation: {', '.join(changed)} are for polished sections, not for particles "
                             "on a substrate; leave imaging.preparation out")  # fmt: skip
        for detector in self.imaging.detector:
            if detector.kind != "transmission":
                continue
            if self.substrate.kind != "film":
                raise ValueError(f"imaging.detector: no electrons come through a {self.substrate.kind}; transmission "
                                 "needs substrate.kind film")  # fmt: skip
            if self.substrate.thickness_um.support()[1] > 0 and detector.film_um.support()[1] > 0:
                raise ValueError("imaging.detector: film_um and substrate.thickness_um both give the film; set "
                                 "film_um to 0, or leave thickness_um out")  # fmt: skip
        return self

    @property
    def phase_names(self) -> tuple[str, ...]:
        """Substrate, then populations; the phase id is the position."""
        names = [p.name for p in self.populations if not p.background]
        return (self.substrate.name, *dict.fromkeys(names))

    @property
    def phase_materials(self) -> tuple[str, ...]:
        """Main material of each phase, then the other materials that particles can have.

        `Passes.wall` and `Passes.path_um` count in this list.
        """
        main = {self.substrate.name: self.substrate.material}
        others: dict[str, None] = {}
        for population in self.populations:
            first = max(population.material, key=population.material.__getitem__)
            if not population.background:
                main.setdefault(population.name, first)
            others.update(dict.fromkeys(population.material))
        rest = [m for m in others if m not in list(main.values())[1:]]
        return (*main.values(), *rest)

    @property
    def appearances(self) -> dict[str, Appearance]:
        """How the substrate looks; particles bring their own skin."""
        return {self.substrate.name: self.substrate}


def shape_options(shape: str) -> tuple[str, ...]:
    """Names of the parameters of a shape. Raises ValueError with the nearest name for an unknown one."""
    if shape not in SHAPES:
        raise ValueError(f"unknown shape {shape!r}{nearest(shape, tuple(SHAPES), 'shapes')}")
    parameters = inspect.signature(SHAPES[shape]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


def _option(shape: str, name: str, value: Any) -> Distribution | str:
    """A parameter of a shape: one of its words, or a number or distribution from 0 to MOST_OPTION."""
    alternatives = get_args(inspect.signature(SHAPES[shape]).parameters[name].annotation)
    words = [word for alternative in alternatives for word in get_args(alternative)]
    if words:
        if value not in words:
            raise ValueError(f"{shape}: {name} is {value!r}, expected one of: {', '.join(words)}")
        return str(value)
    try:
        return _option_number.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{shape}: {name}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def nearest(found: str, known: tuple[str, ...], kind: str) -> str:
    """The end of a message about an unknown name: what was probably meant, or all that is known."""
    near = difflib.get_close_matches(found, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; {kind}: {', '.join(known) or 'none'}"
