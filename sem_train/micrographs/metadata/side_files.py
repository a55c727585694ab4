"""Text files that instruments leave beside the image."""

from pathlib import Path

from sem_train.micrographs.files import file_beside
from sem_train.micrographs.metadata.finding import Finding
from sem_train.micrographs.metadata.hitachi import hitachi_finding
from sem_train.micrographs.metadata.jeol import jeol_finding
from sem_train.micrographs.metadata.tescan import tescan_finding

MOST_BYTES = 1 << 20  # what is larger is no list of conditions


def side_findings(path: Path, shape: tuple[int, int]) -> list[Finding]:
    """What `.hdr` (Tescan) and `.txt` (Hitachi, JEOL) beside an image of this height and width say."""
    findings = []
    header = file_beside(path, [f"{path.stem}-{path.suffix[1:]}.hdr", f"{path.name}.hdr", f"{path.stem}.hdr"])
    if header is not None:
        findings.append(tescan_finding(_text(header), header.name, shape))
    listing = file_beside(path, [f"{path.stem}.txt", f"{path.name}.txt"])
    if listing is not None:
        text = _text(listing)
        findings += [hitachi_finding(text, listing.name, shape), jeol_finding(text, listing.name, shape)]
    return findings


def _text(path: Path) -> str:
    """The file's text: UTF-16 where it is marked so, else UTF-8 or Windows' code page."""
    if path.stat().st_size > MOST_BYTES:
        return ""
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
