"""Many label maps in, every table and file out that was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from sem_train.fiji.files import FijiOptions, corrected_lines, laid_lines, refuse_bad_options
from sem_train.fiji.rows import corrected_rows, correction_lines, laid_rows
from sem_train.measure.files import MeasuredMap, measured_maps
from sem_train.measure.tables.objects import object_table, write_object_rows
from sem_train.measure.tables.rows import Row, refuse_bad_target, rows_of, terminal_tables, write_table
from sem_train.measure.tables.structure import document, image_structure
from sem_train.measure.tables.wide import write_summary
from sem_train.measure.uncertainty import CALIBRATION_PERCENT, Sources, read_segmentation_error, uncertainties
from semforge.errors import InputError
from semforge.files import write_text

STDOUT = Path("-")
MANY = 5  # label maps from which on a bar shows how far it is


@dataclass(frozen=True)
class Outputs:
    """Where tables go; None where one is not wanted."""

    table: Path | None = None  # CSV, a quantity a row
    summary: Path | None = None  # CSV, an image a row
    json: Path | None = None  # `STDOUT` for standard output
    objects: Path | None = None  # CSV, an object a row

    @property
    def json_to_stdout(self) -> bool:
        """Whether standard output is taken by JSON."""
        return self.json == STDOUT


@dataclass
class Done:
    """What was measured, and what could not be."""

    to_show: list[RenderableType] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # reason by path
    json_text: str = ""


@dataclass
class _Collected:
    rows: list[Row] = field(default_factory=list)
    structures: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    units: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Circumstances:
    """What a user knows of all label maps together; None where only the files say it, if anything does."""

    pixel_size_um: float | None = None
    classes: Path | None = None  # YAML file
    section_tilt_deg: float = 0.0
    calibration_percent: float | None = None  # standard uncertainty of the pixel size
    model: Path | None = None  # run whose calibrated segmentation error counts
    instances: bool = False  # the files are instance maps of particles
    roughness_cutoff: float | None = None  # in µm, or pixels of maps without a pixel size

    def sources(self) -> dict[str, Sources]:
        """The sources of uncertainty of a map, by where its scale is from."""
        segmentation = None if self.model is None else read_segmentation_error(self.model)
        stated = self.calibration_percent
        return {
            source: Sources(
                usual if stated is None else stated, tilt_deg=self.section_tilt_deg, segmentation=segmentation
            )
            for source, usual in CALIBRATION_PERCENT.items()
        }


def measure_to(
    label_maps: Sequence[Path], outputs: Outputs, fiji: FijiOptions, known: Circumstances, console: Console
) -> Done:
    """Measure label maps and write what was asked for; a bar on `console` if there are many.

    One that cannot be measured is named in the result and the others are measured. Tables are written
    at the end, each whole or not at all. Raises InputError, with nothing written, if options cannot be used, and if
    not one label map can be measured.
    """
    _refuse_bad_outputs(outputs, label_maps)
    refuse_bad_options(fiji, label_maps)
    if known.instances and fiji.asked:
        raise InputError("--instances: instance maps have no layers to lay lines across; leave out --lines, --rois and "
                         "--from-rois")  # fmt: skip
    sources = known.sources()
    maps = measured_maps(
        label_maps, known.pixel_size_um, known.classes, known.section_tilt_deg, known.instances, known.roughness_cutoff
    )
    done, collected = Done(), _Collected()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    disable = len(label_maps) < MANY or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as bar:
        task = bar.add_task("measure", total=len(label_maps))
        for path, result in maps:
            bar.update(task, description=path.name)
            try:
                if isinstance(result, InputError):
                    raise result
                _collect(result, sources[result.scale_source], outputs, fiji, done, collected)
            except InputError as error:
                done.failed[str(path)] = str(error)
            bar.advance(task)
    if len(done.failed) == len(label_maps):
        first = next(iter(done.failed.values()))
        raise InputError(first if len(label_maps) == 1 else f"no label map can be measured; the first: {first}")
    _write(outputs, done, collected)
    return done


def _collect(
    measured: MeasuredMap, sources: Sources, outputs: Outputs, fiji: FijiOptions, done: Done, collected: _Collected
) -> None:
    image, found = str(measured.path), measured.field
    rows = rows_of(image, found, uncertainties(measured.section, found, sources))
    more: dict[str, Any] = {}
    corrections: list[Text] = []
    if fiji.from_rois is not None:
        corrected = corrected_lines(measured, fiji, measured.across)
        if corrected is None:
            corrections.append(Text(f"{image}: no corrected lines in {fiji.from_rois}"))
        else:
            rows += corrected_rows(image, corrected, found.unit)
            corrections += correction_lines(image, corrected, found.unit)
            more = {"corrected_lines": corrected.lines}
            if not corrected.identified:
                corrections.append(Text(f"{image}: the selections do not say which label map they are of"))
    elif fiji.asked:
        laid = laid_lines(measured, fiji)
        rows += laid_rows(image, laid, measured.across, found.unit)
        more = {"measuring_lines": laid}
    # from here on nothing can fail that this label map is to blame for
    collected.rows += rows
    if outputs.json is not None:
        collected.structures.append(image_structure(image, found, rows, more))
    if outputs.objects is not None:
        collected.objects += object_table(found, image)
        collected.units.add(found.unit)
    done.to_show += [terminal_tables({image: found}), *corrections]


def _write(outputs: Outputs, done: Done, collected: _Collected) -> None:
    if len(collected.units) > 1:
        raise InputError(f"--objects {outputs.objects}: some label maps have a pixel size and others none, which one "
                         "table cannot hold; give --pixel-size-um")  # fmt: skip
    if outputs.table is not None:
        write_table(outputs.table, collected.rows)
    if outputs.summary is not None:
        write_summary(outputs.summary, collected.rows)
    if outputs.objects is not None:
        write_object_rows(outputs.objects, collected.objects, collected.units.pop())
    if outputs.json is not None:
        done.json_text = document(collected.structures, done.failed)
        if not outputs.json_to_stdout:
            write_text(outputs.json, done.json_text + "\n")
    for path in (outputs.table, outputs.summary, outputs.objects, outputs.json):
        if path is not None and path != STDOUT:
            done.to_show.append(Text(f"→ {path}"))


def _refuse_bad_outputs(outputs: Outputs, label_maps: Sequence[Path]) -> None:
    targets = [
        ("--out", outputs.table, ".csv"),
        ("--summary", outputs.summary, ".csv"),
        ("--objects", outputs.objects, ".csv"),
        ("--json", None if outputs.json_to_stdout else outputs.json, ".json"),
    ]
    flags: dict[Path, str] = {}
    for flag, path, suffix in targets:
        if path is None:
            continue
        refuse_bad_target(path, suffix)
        other = flags.setdefault(path.resolve(), flag)
        if other != flag:
            raise InputError(f"{other} and {flag}: both name {path}, expected a file each")
    names = [str(path) for path in label_maps]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{twice[0]}: is given twice")
