"""The page of X-ray results: maps, spectra and tables of one or many fields, complete in itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sem_train.spectra.contents import Card, Share, ShownTable


def write_page(
    path: Path,
    title: str,
    cards: Sequence[Card],
    *,
    about: str = "Phases named by their X-ray spectra",
    keys: Sequence[tuple[str, str]] = (),
    warnings: Sequence[str] = (),
    shares: Sequence[Share] = (),
    tables: Sequence[ShownTable] = (),
    provenance: Mapping[str, str] | None = None,
    command: str = "",
) -> None:
    """Write the page, whole or not at all.

    `about` is the line below the title. `keys` are large numbers with what they are ("0.93", "accuracy"). `shares`
    and `tables` are of all cards together. `provenance` says model, files, versions.
    """
    raise NotImplementedError
