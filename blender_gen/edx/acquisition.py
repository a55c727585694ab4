"""Spectra of a specimen as its recipe asks for them: conditions drawn, phases mixed, counts drawn, stored."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blender_gen.edx.conditions import Conditions, Detector
from blender_gen.edx.counts import noisy, simulate_image
from blender_gen.edx.minerals import specimen
from blender_gen.edx.mixing import Ground, Mixture, Seen, mixture
from blender_gen.edx.particles import expected_spectrum, largest, scanned
from blender_gen.edx.shadow import Way, passing
from blender_gen.edx.spectrum import phase_spectrum, xray_range_um
from blender_gen.imaging import Target
from blender_gen.imaging.conditions import Drawn, draw
from blender_gen.imaging.target import RESIN
from blender_gen.phases import VOID, materials
from blender_gen.recipe import Recipe
from blender_gen.recipe.edx import MOST_PIXEL_COUNTS, Edx
from semforge.errors import InputError
from semforge.spectra import EnergyAxis
from semforge.spectra.maps import element_maps, mappable, windows

LARGEST_IMAGE = 4 * 2**30  # bytes of counts


@dataclass(frozen=True)
class Acquired:
    """What is stored with a sample."""

    arrays: dict[str, np.ndarray]  # `Sample.edx`
    record: dict[str, Any]  # `truth["edx"]`, plain values


def parts(recipe: Recipe) -> list[dict[str, str]]:
    """What spectra are mixed of, in the order of shares: the phases, further materials of bodies, resin in voids."""
    named = recipe.phase_names
    solids = [(RESIN if m == VOID else m) for m in recipe.phase_materials]
    names = [*named, *solids[len(named) :], "resin"]
    return [{"name": name, "material": m} for name, m in zip(names, [*solids, RESIN], strict=True)]


def axis_of(settings: Edx) -> EnergyAxis:
    """The energy axis of the recipe's spectra."""
    return EnergyAxis(settings.channels, settings.channel_ev, settings.offset_ev)


def mapped_elements(recipe: Recipe) -> tuple[str, ...]:
    """The elements of the maps, the same in all samples: those asked for, or all that the weakest beam excites.

    Raises InputError if one that is asked for has no line.
    """
    settings = recipe.edx
    assert settings is not None
    weakest, axis = settings.beam_kev.support()[0], axis_of(settings)
    if settings.elements is not None:
        windows(settings.elements, weakest, axis, 130.0)
        return settings.elements
    names = dict.fromkeys(part["material"] for part in parts(recipe))
    return mappable((e for name in names for e, _ in materials()[name].mass_fractions), weakest, axis)


def refuse_what_gives_no_spectrum(recipe: Recipe) -> None:
    """Raise InputError, naming it, for a phase or a mapped element of which the weakest beam excites no line.

    Also for pictures that binning leaves nothing of, for spectrum images that are too large, for doses that do not fit
    their numbers, and for a coat on a film that lets the beam through.
    """
    settings = recipe.edx
    assert settings is not None
    ground = _ground(recipe)
    if ground is not None and ground.film and settings.coat != "none":
        raise InputError(f"edx.coat: found {settings.coat} on a substrate that is a film, expected none; X-rays of a "
                         "coat are computed on a specimen that stops the beam")  # fmt: skip
    _refuse_bad_size(recipe.frame.height_px, recipe.frame.width_px, settings)
    weakest = Conditions(beam_kev=settings.beam_kev.support()[0], axis=axis_of(settings))
    for part in parts(recipe):
        try:
            xray_range_um(materials()[part["material"]], weakest)
        except InputError as error:
            raise InputError(f"phase {part['name']!r}: {error}") from error
    mapped_elements(recipe)
    _refuse_too_many_counts(recipe, settings)


def _refuse_too_many_counts(recipe: Recipe, settings: Edx) -> None:
    """Raise InputError if a live time can give more counts in a channel of the brightest phase than files hold."""
    if settings.live_s is None:
        return
    pixels = settings.pixelwise and settings.pixel_counts is None
    room = MOST_PIXEL_COUNTS if pixels else float(np.iinfo(np.uint32).max) / 2
    na_s = settings.live_s.support()[1] * settings.current_na.support()[1]
    detector = settings.detector
    bright = [
        Conditions(
            beam_kev=beam_kev, axis=axis_of(settings), take_off_deg=detector.take_off_deg.support()[1],
            solid_angle_sr=detector.solid_angle_sr.support()[1], background=settings.background.support()[1],
            detector=Detector(resolution_ev=detector.resolution_ev.support()[0], window=detector.window),
        )
        for beam_kev in dict.fromkeys(settings.beam_kev.support())
    ]  # fmt: skip
    for part in parts(recipe):
        most = na_s * max(float(phase_spectrum(materials()[part["material"]], one).max()) for one in bright)
        if most > room:
            raise InputError(f"live_s: {na_s:g} nA s can give {most:.3g} counts in a channel of {part['name']!r}, "
                             f"{room:.3g} at most fit; lower live_s or current_na, or give counts")  # fmt: skip


def _refuse_bad_size(height_px: int, width_px: int, settings: Edx) -> None:
    rows, columns = height_px // settings.binning, width_px // settings.binning
    if not rows or not columns:
        raise InputError(f"binning {settings.binning} leaves nothing of a frame of {width_px} x {height_px} pixels; "
                         f"expected {min(width_px, height_px)} at most")  # fmt: skip
    room = rows * columns * settings.channels * 2
    if settings.pixelwise and room > LARGEST_IMAGE:
        raise InputError(f"a spectrum image of {rows} x {columns} x {settings.channels} takes {room / 2**30:.1f} GiB, "
                         f"{LARGEST_IMAGE / 2**30:g} at most; raise binning or make the frame smaller")  # fmt: skip


def acquire(recipe: Recipe, target: Target, instance: np.ndarray, rng: np.random.Generator) -> Acquired:
    """Everything that `recipe.edx` stores of one specimen; `instance` (H, W) are its bodies."""
    settings = recipe.edx
    assert settings is not None
    drawn = draw(settings, rng, leave=("detector",))
    detector = draw(settings.detector, rng)
    conditions = _conditions(settings, drawn, detector)
    if settings.solid_solutions:
        target = replace(target, solids=tuple(specimen(solid.name, rng) for solid in target.solids))
    mixed = mixture(target, conditions, detector.azimuth_deg, _ground(recipe))
    present = mixed.column.any(axis=(0, 1))
    a_na_s = np.zeros((len(target.solids), settings.channels))
    for number in np.flatnonzero(present):
        a_na_s[number] = phase_spectrum(target.solids[number], conditions)

    arrays: dict[str, np.ndarray] = {}
    elements = mapped_elements(recipe)
    chosen = windows(elements, drawn.beam_kev, axis_of(settings), detector.resolution_ev)
    record = _record(recipe, drawn, detector, [window.record() for window in chosen])
    record["parts"] = [
        {**part, "mass_fractions": dict(solid.mass_fractions)}
        for part, solid in zip(record["parts"], target.solids, strict=True)
    ]
    if "particles" in settings.store:
        arrays |= _particles(settings, drawn, mixed, target, instance, a_na_s, conditions, rng)
    if settings.pixelwise or "shares" in settings.store:
        seen, shape = _binned(mixed.everywhere(), instance.shape, settings.binning)
        if "shares" in settings.store:
            shares = np.rint(255 * np.clip(seen.shares, 0, 1)).astype(np.uint8)
            arrays["shares"] = np.ascontiguousarray(shares.T).reshape(-1, *shape)
    if settings.pixelwise:
        counts, record["pixel_na_s"] = _image(drawn, seen, target, a_na_s, conditions, rng)
        counts = counts.reshape(*shape, settings.channels)
        if "image" in settings.store:
            arrays["spectrum_image"] = counts
        if "maps" in settings.store:
            arrays["element_maps"] = element_maps(counts, chosen, axis_of(settings), settings.net_maps)
    return Acquired(arrays, record)


def _particles(
    settings: Edx, drawn: Drawn, mixed: Mixture, target: Target, instance: np.ndarray, a_na_s: np.ndarray,
    conditions: Conditions, rng: np.random.Generator,
) -> dict[str, np.ndarray]:  # fmt: skip
    numbers = largest(instance, settings.particles_max)
    spectra = np.zeros((settings.particles_max, settings.channels), dtype=np.uint32)
    whose = np.zeros(settings.particles_max, dtype=np.uint32)
    shares = np.zeros((settings.particles_max, len(target.solids)), dtype=np.float32)
    doses = np.zeros(settings.particles_max, dtype=np.float32)
    whose[: len(numbers)] = numbers
    for row, (rows, columns) in enumerate(scanned(instance, numbers, settings.particle_scan == "point")):
        expected, shares[row] = expected_spectrum(mixed.at(rows, columns), a_na_s, target.solids, conditions.axis)
        dose = _dose(drawn.live_s, drawn.counts, drawn.current_na, expected)
        spectra[row], doses[row] = noisy(expected * dose, rng), dose
    return {"particle_spectra": spectra, "particle_instance": whose, "particle_shares": shares, "particle_na_s": doses}


def _image(
    drawn: Drawn, seen: Seen, target: Target, a_na_s: np.ndarray, conditions: Conditions, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Counts (n, C) uint16 of the pixels and the dose of each in nA s."""
    kinds = seen.way.kinds()
    spectra = [a_na_s * passing(kind, target.solids, conditions.axis.energies_kev) for kind, _ in kinds]
    each = zip(kinds, spectra, strict=True)
    total = sum(float(np.einsum("np,p->", seen.shares[at], one.sum(axis=1))) for (_, at), one in each)
    wanted = drawn.counts if drawn.pixel_counts is None else drawn.pixel_counts
    nas = drawn.live_s * drawn.current_na if wanted is None else wanted * len(seen.shares) / max(total, 1e-300)
    if len(kinds) == 1:
        return simulate_image(seen.shares[None], spectra[0] * nas, rng)[0], nas
    counts = np.empty((len(seen.shares), a_na_s.shape[1]), dtype=np.uint16)
    for (_, at), one in zip(kinds, spectra, strict=True):
        counts[at] = simulate_image(seen.shares[at][None], one * nas, rng)[0]
    return counts, nas


def _dose(live_s: float | None, counts: float | None, current_na: float, expected: np.ndarray) -> float:
    """nA s of a spectrum with expected counts (C,) per nA s."""
    if live_s is not None:
        return live_s * current_na
    assert counts is not None  # by the recipe
    return counts / max(float(expected.sum()), 1e-300)


def _binned(seen: Seen, shape: tuple[int, ...], size: int) -> tuple[Seen, tuple[int, int]]:
    """The mixture of blocks of the pixels of a picture, and how many rows and columns of blocks there are.

    A block sees the detector as its middle pixel does. What is left over at the right and at the bottom is cut off.
    """
    height, width = shape
    rows, columns = height // size, width // size
    if size == 1:
        return seen, (rows, columns)
    shares = seen.shares.reshape(height, width, -1)[: rows * size, : columns * size]
    shares = shares.reshape(rows, size, columns, size, -1).mean(axis=(1, 3)).reshape(rows * columns, -1)
    middle = np.arange(height * width).reshape(height, width)[size // 2 :: size, size // 2 :: size]
    middle = middle[:rows, :columns].ravel()
    return Seen(shares, Way(seen.way.length[middle], seen.way.solid[middle])), (rows, columns)


def _conditions(settings: Edx, drawn: Drawn, detector: Drawn) -> Conditions:
    """What the spectra are computed for; the detector's axis may be off the one that is written with them."""
    axis = EnergyAxis(
        settings.channels, settings.channel_ev * (1 - detector.gain_error),
        settings.offset_ev - detector.offset_error_ev,
    )  # fmt: skip
    return Conditions(
        beam_kev=drawn.beam_kev, axis=axis, take_off_deg=detector.take_off_deg, solid_angle_sr=detector.solid_angle_sr,
        detector=Detector(
            resolution_ev=detector.resolution_ev, window=detector.window, ice_um=detector.ice_um,
            pulse_pair_us=detector.pulse_pair_us, threshold_kev=detector.threshold_kev, tail=detector.tail,
        ),
        coat=None if settings.coat == "none" else settings.coat,
        coat_nm=0.0 if settings.coat == "none" else drawn.coat_nm,
        background=drawn.background, current_na=drawn.current_na,
    )  # fmt: skip


def _ground(recipe: Recipe) -> Ground | None:
    return Ground(0, recipe.substrate.kind == "film") if recipe.family == "particles" else None


def _record(recipe: Recipe, drawn: Drawn, detector: Drawn, chosen: list[dict[str, Any]]) -> dict[str, Any]:
    settings = recipe.edx
    assert settings is not None
    given = {name: drawn[name] for name in ("beam_kev", "current_na", "live_s", "counts", "pixel_counts")}
    return {
        "axis": {"channels": settings.channels, "width_ev": settings.channel_ev, "offset_ev": settings.offset_ev},
        **{name: value for name, value in given.items() if value is not None},
        "take_off_deg": detector.take_off_deg, "detector": dict(detector), "background": drawn.background,
        "coat": settings.coat, "coat_nm": 0.0 if settings.coat == "none" else drawn.coat_nm,
        "store": list(settings.store), "binning": settings.binning, "particle_scan": settings.particle_scan,
        "elements": [one["element"] for one in chosen], "windows": chosen, "net_maps": settings.net_maps,
        "parts": parts(recipe),
    }  # fmt: skip
