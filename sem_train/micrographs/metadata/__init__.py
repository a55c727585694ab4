"""What a micrograph's file, and the text file beside it, say of pixel size, databar and instrument."""

from collections.abc import Mapping
from pathlib import Path

import tifffile
from PIL import Image

from sem_train.micrographs.files import is_tiff
from sem_train.micrographs.metadata.fei import fei_finding
from sem_train.micrographs.metadata.finding import Finding, joined
from sem_train.micrographs.metadata.open_formats import imagej_finding, ome_finding, png_finding, sis_finding
from sem_train.micrographs.metadata.side_files import side_findings
from sem_train.micrographs.metadata.tescan import TAG as TESCAN_TAG
from sem_train.micrographs.metadata.tescan import tag_text, tescan_finding
from sem_train.micrographs.metadata.zeiss import zeiss_finding
from sem_train.micrographs.pixels import BROKEN, unreadable

__all__ = ["Finding", "read_metadata"]


def read_metadata(path: Path, png_notes: Mapping[str, str] | None = None) -> Finding:
    """All that the file and its side files say; `png_notes` are its text chunks where they are read already.

    Raises InputError if the file cannot be read.
    """
    try:
        shape, inside = _tiff(path) if is_tiff(path) else _other(path, png_notes)
    except BROKEN as error:
        raise unreadable(path) from error
    return joined([*inside, *side_findings(path, shape)])


def _tiff(path: Path) -> tuple[tuple[int, int], list[Finding]]:
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        shape = (page.imagelength, page.imagewidth)
        findings = [fei_finding(file.fei_metadata, shape), zeiss_finding(file.sem_metadata, shape)]
        tescan = page.tags.valueof(TESCAN_TAG)
        if isinstance(tescan, bytes | str):
            content = tescan if isinstance(tescan, bytes) else tescan.encode("latin-1", errors="replace")
            findings.append(tescan_finding(tag_text(content, file.byteorder), "Tescan tag", shape))
        findings += [
            imagej_finding(file.imagej_metadata, page),
            ome_finding(file.ome_metadata),
            sis_finding(file.sis_metadata),
        ]
        return shape, findings


def _other(path: Path, notes: Mapping[str, str] | None) -> tuple[tuple[int, int], list[Finding]]:
    with Image.open(path) as image:  # reads the header alone
        width, height = image.size
        if notes is None and image.format == "PNG":
            image.load()  # text chunks may stand behind the pixels
            notes = dict(image.text)
        return (height, width), [png_finding(notes or {}, path)]
