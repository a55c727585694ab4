"""From settings to checked particles: what is trained on, what validates, what stays out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sem_train.classification.config import ClassifyPlan, ParticleData, RealParticles, SyntheticParticles
from sem_train.classification.particles import ParticleSet
from sem_train.classification.sources import Reading, Source, real_sources, synthetic_sources
from semforge.errors import InputError, refuse_bad


@dataclass(frozen=True)
class GatheredParticles:
    """The particles of a training run, all read and found whole."""

    training: ParticleSet
    held_out: ParticleSet


@dataclass(frozen=True)
class Parts:
    """Sources by what they are for."""

    training: tuple[Source, ...] = ()
    held_out: tuple[Source, ...] = ()
    excluded: tuple[Source, ...] = ()

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(*(getattr(self, part) + getattr(other, part) for part in ("training", "held_out", "excluded")))


def reading_of(plan: ClassifyPlan) -> Reading:
    """How the particles of a plan are read."""
    return Reading(plan.classes, plan.data.crops, plan.data.spectra if plan.model.sees_spectrum else None)


def gather_particles(plan: ClassifyPlan) -> GatheredParticles:
    """Find and read the particles that settings name.

    Raises InputError that names all files and samples that cannot be used, a group that stands on both sides of the
    split, or a class that nothing is trained on.
    """
    reading = reading_of(plan)
    parts = split(plan.data, reading, plan.training.seed)
    _refuse_shared(parts)
    training, held_out = (read_sources(chosen, reading) for chosen in (parts.training, parts.held_out))
    twice = training.identities & held_out.identities
    if twice:
        raise InputError(f"{len(twice)} pictures or samples are both trained on and held out, under two names; "
                         "leave them out on one side")  # fmt: skip
    training, held_out = (_usable(particles, plan) for particles in (training, held_out))
    missing = [name for i, name in enumerate(plan.names) if not (training.labels == i).any()]
    if missing:
        raise InputError(f"nothing is left to train on of {', '.join(missing)}; give data of each class, "
                         "or take the class out")  # fmt: skip
    return GatheredParticles(training, held_out)


def split(data: ParticleData, reading: Reading, seed: int) -> Parts:
    """The sources of all data, split as the settings say; a kind that batches take none of is not trained on."""
    parts = Parts()
    for synthetic in data.synthetic:
        parts += _of_kind(_split_synthetic(synthetic, synthetic_sources(synthetic, reading)), data.real_share < 1)
    for real in data.real:
        own = _split_real(real, real_sources(real, reading), seed)
        if data.real_share > 0 and not own.training:
            raise InputError(f"{real.root}: all of it is held out or excluded, nothing is left to train on")
        parts += _of_kind(own, data.real_share > 0)
    return parts


def read_sources(sources: Sequence[Source], reading: Reading) -> ParticleSet:
    """All their particles. Raises InputError as `refuse_bad`."""
    found, bad = [], []
    for source in sources:
        try:
            found.append(source.read())
        except InputError as error:
            bad.append(str(error))
    refuse_bad(bad, len(sources), "pictures and samples")
    return without_empty_spectra(ParticleSet.joined(found, reading.axis, reading.crops.side_px), reading)


def without_empty_spectra(particles: ParticleSet, reading: Reading) -> ParticleSet:
    """Spectra with fewer counts than the settings ask for become zeros, which count as missing."""
    if particles.spectra is None or reading.spectra is None:
        return particles
    few = particles.counts < reading.spectra.fewest_counts
    particles.spectra[few] = 0
    return particles


def _usable(particles: ParticleSet, plan: ClassifyPlan) -> ParticleSet:
    """Without what has nothing that the network could look at."""
    if plan.model.sees_image:
        return particles
    seen = particles.counts > 0
    if len(particles) and not seen.any():
        raise InputError("model.name is spectrum, but no particle has a spectrum; render with 'edx' in the recipe, "
                         "or choose image")  # fmt: skip
    return particles[seen]


def _of_kind(parts: Parts, trained_on: bool) -> Parts:
    return parts if trained_on else Parts((), parts.held_out, parts.excluded)


def _split_synthetic(data: SyntheticParticles, sources: list[Source]) -> Parts:
    rest = len(sources) - data.held_out - data.excluded
    if rest < 1:
        raise InputError(f"{data.path}: {data.held_out} samples are held out and {data.excluded} excluded of "
                         f"{len(sources)}, expected fewer")  # fmt: skip
    training, held_out = sources[: min(rest, data.limit or rest)], sources[len(sources) - data.held_out :]
    return Parts(tuple(training), tuple(held_out), tuple(sources[rest : len(sources) - data.held_out]))


def _split_real(data: RealParticles, sources: list[Source], seed: int) -> Parts:
    key = lambda source: source.fold if data.fold else source.group
    known = {key(source) for source in sources}
    both, unknown = set(data.held_out) & set(data.excluded), {*data.held_out, *data.excluded} - known
    if both or unknown:
        problem = "is both held out and excluded" if both else "is held out or excluded, but no picture is of it"
        raise InputError(f"{data.root}: {'fold' if data.fold else 'specimen'} {sorted(both or unknown)[0]!r} {problem}")
    excluded = [s for s in sources if key(s) in data.excluded]
    held_out = [s for s in sources if key(s) in data.held_out]
    left = [s for s in sources if key(s) not in (*data.excluded, *data.held_out)]
    spared = _drawn_groups(left, data.held_out_share, seed)
    held_out += [s for s in left if s.group in spared]
    training = [s for s in left if s.group not in spared]
    if data.limit:
        kept = _limited(training, data.limit, seed)
        training = [s for s in training if s.group in kept]
    return Parts(tuple(training), tuple(held_out), tuple(excluded))


def _drawn_groups(sources: list[Source], share: float, seed: int) -> set[str]:
    """About this share of the groups of each class, one at least where a class has two."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,)))
    drawn: set[str] = set()
    for label in sorted({s.label for s in sources}, key=str):
        groups = sorted({s.group for s in sources if s.label == label} - drawn)
        count = min(max(1, round(share * len(groups))), len(groups) - 1) if share else 0
        drawn |= {groups[i] for i in rng.permutation(len(groups))[: max(0, count)]}
    return drawn


def _limited(sources: list[Source], limit: int, seed: int) -> set[str]:
    """So many groups, dealt class by class, so that few of them are still of every class; fewer are part of more."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(6,)))
    queues = []
    for label in sorted({s.label for s in sources}, key=str):
        groups = sorted({s.group for s in sources if s.label == label})
        queues.append([groups[i] for i in rng.permutation(len(groups))])
    dealt = [queue[i] for i in range(max(map(len, queues), default=0)) for queue in queues if i < len(queue)]
    return set(list(dict.fromkeys(dealt))[:limit])


def _refuse_shared(parts: Parts) -> None:
    train = {s.group for s in parts.training}
    shared = train & {s.group for s in (*parts.held_out, *parts.excluded)}
    if shared:
        raise InputError(f"{sorted(shared)[0]!r} is both trained on and held out or excluded; "
                         "keep all of a specimen on one side")  # fmt: skip
