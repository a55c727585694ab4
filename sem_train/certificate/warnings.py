"""What a reader must know before believing a number, worst first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sem_train.analysis.record import FolderRecord, ImageRecord
from sem_train.certificate.keys import is_lower_bound, is_unresolved
from sem_train.certificate.words import Values

NAMED = 3  # images named in the sentence itself


@dataclass(frozen=True)
class Warning:
    """One warning and what it is about."""

    text: str
    where: tuple[str, ...] = ()  # images or specimens; empty: all


@dataclass(frozen=True)
class WarningLine:
    """A warning as the page shows it."""

    text: str
    where: str  # "all 12 images", "image-a, image-b and 7 more"
    others: tuple[str, ...]  # those that `where` does not name


def failures(folder: FolderRecord, missing: Sequence[tuple[str, str]]) -> list[Warning]:
    """Images that could not be analysed or whose record cannot be read, each by name with its reason."""
    found = [Warning(f"Not analysed: {f.reason}", (f.source,)) for f in folder.failures]
    return found + [Warning(f"Left out of this page: {reason}", (name,)) for name, reason in missing]


def collected(images: Sequence[ImageRecord], folder: FolderRecord) -> list[WarningLine]:
    """All warnings about analysed images, equal ones together."""
    by_text: dict[str, list[str]] = {}
    for image in images:
        for text in dict.fromkeys(_of_image(image)):
            by_text.setdefault(text, []).append(image.name)
    of_specimens: dict[str, list[str]] = {}
    shown = {image.specimen for image in images}
    for specimen in folder.specimens:
        for text in specimen.warnings if specimen.name in shown else ():
            of_specimens.setdefault(_sentence(text), []).append(specimen.name)
    lines = [_line(text, where, len(images), "image") for text, where in by_text.items()]
    return lines + [_line(text, where, len(folder.specimens), "specimen") for text, where in of_specimens.items()]


def of_image(image: ImageRecord) -> list[str]:
    """Warnings about one image, as sentences."""
    return list(dict.fromkeys(_of_image(image)))


def _of_image(image: ImageRecord) -> Iterable[str]:
    values = Values(image.rows)
    said = " ".join(image.warnings).lower()
    if image.pixel_size_um is None and not any(word in said for word in ("scale", "pixel size")):
        yield "No scale is known: lengths are in pixels."
    elif image.scale_source == "scale_bar" and "scale bar" not in said:
        yield "The scale was read off the scale bar and confirmed by the operator, not taken from the file."
    for layer in values.names("layer"):
        if any(text.startswith(f"{layer}:") for text in image.warnings):
            continue
        if is_unresolved(values, layer):
            yield f"{layer} is too thin to be resolved: its thickness is no measurement."
        if is_lower_bound(values, layer):
            yield f"{layer} leaves the frame: its thickness is a lower bound."
    for text in image.warnings:
        yield _sentence(text)
    if not image.rows:
        yield "Nothing was measured: no class of the model is a layer, a pore, a crack or a particle."
    elif not any(row.standard_uncertainty for row in image.rows):
        yield "No uncertainty is stated: neither the calibration of the scale nor the model's error is known."


def _sentence(text: str) -> str:
    text = text.strip()
    return text + ("" if text.endswith((".", "!", "?")) else ".")


def _line(text: str, where: Sequence[str], total: int, what: str) -> WarningLine:
    if total == 1:
        return WarningLine(text, "", ())
    if len(where) == total:
        return WarningLine(text, f"{'Both' if total == 2 else f'All {total}'} {what}s", ())
    if len(where) <= NAMED:
        return WarningLine(text, ", ".join(where), ())
    return WarningLine(text, f"{len(where)} of {total} {what}s", tuple(where))
