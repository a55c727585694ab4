"""The files that go to Fiji and come back from there, one set a label map."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sem_train.fiji.corrected import Corrected, read_corrected
from sem_train.fiji.lines import LINES, MeasuringLine, lay_lines
from sem_train.fiji.selections import write_rois
from sem_train.fiji.training_labels import corrected_labels
from sem_train.measure.files import MeasuredMap
from sem_train.micrographs import write_label_map, write_label_tiff
from semforge.errors import InputError
from semforge.files import existing_file

ZIP, TIFF, PNG = ".zip", (".tif", ".tiff"), ".png"


@dataclass(frozen=True)
class FijiOptions:
    """What is written for Fiji and read from it.

    A path with a suffix is a file, for one label map; one without is a folder, in which each label map has a file
    of its name (without `_labels`): `a_labels.png` has `a.zip` and `a.tif`.
    """

    lines: int | None = None  # across each layer
    rois: Path | None = None  # .zip to write, or folder
    from_rois: Path | None = None  # .zip that was edited, or folder
    to_labels: Path | None = None  # .tif or .png to write, or folder

    @property
    def asked(self) -> bool:
        """Whether anything is."""
        return self.lines is not None or self.rois is not None or self.from_rois is not None


def plain_name(path: Path) -> str:
    """The name of the image of a label map: `a` of `a_labels.png`."""
    return path.stem.removesuffix("_labels") or path.stem


def refuse_bad_options(options: FijiOptions, label_maps: Sequence[Path]) -> None:
    """Raises InputError if options exclude each other, or name no usable places; asked before the work is done."""
    if options.rois is not None and options.from_rois is not None:
        raise InputError("--rois and --from-rois: give one of them; lines are written first and taken back later")
    if options.to_labels is not None and options.from_rois is None:
        raise InputError("--to-labels makes labels of corrected outlines, give --from-rois too")
    for flag, path, suffixes in (
        ("--rois", options.rois, (ZIP,)),
        ("--from-rois", options.from_rois, (ZIP, ".roi")),
        ("--to-labels", options.to_labels, (*TIFF, PNG)),
    ):
        if path is not None:
            _refuse_bad_place(flag, path, suffixes, label_maps)
    if options.from_rois is not None and options.from_rois.suffix:
        existing_file(options.from_rois, "selections of ImageJ's ROI Manager (.zip)")
    elif options.from_rois is not None and not any(_place(options.from_rois, p, ZIP).is_file() for p in label_maps):
        wanted = _place(options.from_rois, label_maps[0], ZIP)
        raise InputError(f"{options.from_rois}: has selections of none of the label maps, expected e.g. {wanted.name}")
    written = [path for path in (options.rois, options.to_labels) if path is not None]
    sources = {path.resolve() for path in label_maps}
    for path in written:
        for source in label_maps:
            if _place(path, source, ZIP if path is options.rois else TIFF[0]).resolve() in sources:
                raise InputError(f"{path}: would replace the label map {source}; give another place")


def laid_lines(
    measured: MeasuredMap, options: FijiOptions
) -> dict[str, tuple[MeasuringLine, ...]]:  # fmt: skip
    """The lines of a label map, by layer; written as selections if that is asked for."""
    number = LINES if options.lines is None else options.lines
    if options.rois is None:
        return lay_lines(measured.section, number)
    return write_rois(_place(options.rois, measured.path, ZIP), measured.labels, measured.section, number)


def corrected_lines(measured: MeasuredMap, options: FijiOptions, pixel: float) -> Corrected | None:
    """What came back from Fiji of a label map, None if nothing; labels are written of it if that is asked for.

    `pixel` is the edge of a pixel in the unit of the thickness. Raises InputError that names the file.
    """
    assert options.from_rois is not None
    path = _place(options.from_rois, measured.path, ZIP)
    if not options.from_rois.suffix and not path.is_file():
        return None
    corrected = read_corrected(path, measured.labels, measured.section, pixel, options.lines)
    if options.to_labels is not None:
        try:
            labels = corrected_labels(measured.labels, measured.section, corrected.outlines)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        target = _place(options.to_labels, measured.path, TIFF[0])
        write = write_label_map if target.suffix.lower() == PNG else write_label_tiff
        write(target, labels, measured.section.classes, measured.pixel_size_um)
    return corrected


def _place(path: Path, label_map: Path, suffix: str) -> Path:
    return path if path.suffix else path / f"{plain_name(label_map)}{suffix}"


def _refuse_bad_place(flag: str, path: Path, suffixes: tuple[str, ...], label_maps: Sequence[Path]) -> None:
    if path.suffix and path.suffix.lower() not in suffixes:
        raise InputError(f"{flag} {path}: expected a {' or '.join(suffixes)} file, or a folder (a name without suffix)")
    if path.suffix and path.is_dir():
        raise InputError(f"{flag} {path}: is a folder, expected a {' or '.join(suffixes)} file")
    if path.suffix and len(label_maps) > 1:
        raise InputError(f"{flag} {path}: is one file for {len(label_maps)} label maps; give a folder, e.g. "
                         f"{path.with_suffix('')}")  # fmt: skip
    if not path.suffix and path.is_file():
        raise InputError(f"{flag} {path}: is a file, expected a folder")
    above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir():
        raise InputError(f"{flag} {path}: {above} is a file, expected a folder")
    names = [plain_name(p) for p in label_maps]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{flag} {path}: two label maps are called {twice[0]!r}, so one file would serve both")
