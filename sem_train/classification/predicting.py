"""A whole prediction: micrographs and a classifier in; tables, shares and a page out."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sem_train.analysis.record import Failure
from sem_train.classification.checkpoint import load_classifier
from sem_train.classification.naming import Explanations, NamesParticles, read_confusion
from sem_train.classification.particle_records import (
    ClassifiedRecord,
    ParticlesRecord,
    write_folder,
)
from sem_train.classification.prediction import (
    FieldOutcome,
    FieldReader,
    PredictOptions,
    classify_fields,
    field_jobs,
)
from sem_train.classification.shares import Confusion, Counted, Share, shares_of
from sem_train.data.pictures import file_identity
from sem_train.inference import checkpoint_of
from sem_train.provenance import versions

CONFUSION = "evaluation/confusion.csv"  # of `classify evaluate`, in the run's folder


def predict_particles(
    run: Path, images: Sequence[Path], out: Path, options: PredictOptions, samples: Path | None = None,
    sample: str | None = None, confusion: Path | None = None, command: str = "",
    told: Callable[[FieldOutcome], None] = lambda outcome: None,
) -> ClassifiedRecord:  # fmt: skip
    """Classify the particles of micrographs with the run of a classifier and write everything into `out`.

    `confusion` is a table of how often it confuses classes; without one, that in the run's folder is taken, if there.
    Raises InputError if nothing can be done; an image that cannot be used is among the failures.
    """
    jobs = field_jobs(images, samples, sample)
    trained = load_classifier(run)
    names = NamesParticles(trained)
    known = confusion or (run / CONFUSION if (run / CONFUSION).is_file() else None)
    table = None if known is None else read_confusion(known, names.classes)
    reader = FieldReader(options, names.axis, jobs)
    identity = file_identity(checkpoint_of(run))
    explain = Explanations(names, options.explain) if options.explain else None
    outcomes = classify_fields(jobs, names, reader, out, identity, explain, told)
    records = [o.result for o in outcomes if isinstance(o.result, ParticlesRecord)]
    shares, warnings = sample_shares(records, names.classes, table)
    batch = ClassifiedRecord(
        images=tuple(r.name for r in records),
        failures=tuple(o.result for o in outcomes if isinstance(o.result, Failure)),
        classes=tuple(names.classes), shares=tuple(shares), warnings=tuple(warnings),
        problems=tuple(problem for record in records for problem in record.problems), command=command,
        provenance={
            "classifier": f"{run} ({trained.plan.model.name.replace('_', ' ')})", "checkpoint SHA-256": identity,
            **({"confusion": str(known)} if known is not None else {}),
            **{f"{name} version": version for name, version in versions().items()},
        },
    )  # fmt: skip
    write_folder(out, batch, records)
    return batch


def sample_shares(
    records: Sequence[ParticlesRecord], classes: Sequence[str], confusion: Confusion | None = None
) -> tuple[list[Share], list[str]]:
    """Class shares of each sample, all of its fields together, and what a reader must know of them.

    Areas and volumes of fields in µm and of fields in pixels are not added: such a sample has shares by number alone.
    """
    shares: list[Share] = []
    warnings: list[str] = []
    for sample in dict.fromkeys(record.sample for record in records):
        own = [record for record in records if record.sample == sample]
        counted = counted_of(own, classes)
        unnamed = sum(not p.name for record in own for p in record.particles)
        if unnamed:
            warnings.append(f"{sample}: {unnamed} particles without a name are in no share")
        if not len(counted):
            warnings.append(f"{sample}: no particle has a name, so there are no shares")
            continue
        found = shares_of(sample, counted, classes, confusion)
        if len({record.unit for record in own}) > 1:
            found = [share for share in found if share.by == "number"]
            warnings.append(f"{sample}: some fields have a scale and some have none, shares by number only")
        shares += found
    return shares, warnings


def counted_of(records: Sequence[ParticlesRecord], classes: Sequence[str]) -> Counted:
    """The named particles of the fields of a sample; a picture that is one particle counts as one, without a size."""
    rows = []
    for field, record in enumerate(records):
        alone = len(record.particles) == 1 and record.separation == "the whole picture"
        for p in record.particles:
            if p.name:
                weight, size = p.sizes.get("weight_iso_13322_1"), p.sizes.get("volume_estimate")
                name = len(classes) if p.rejected else list(classes).index(p.name)
                area = np.nan if alone else p.sizes.get("area")
                rows.append((field, name, 1.0 if alone else weight, area, size))
    table = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=float).reshape(-1, 5)
    return Counted(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2], table[:, 3], table[:, 4])
