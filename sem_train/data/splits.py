"""Splits by specimen: images of one specimen never stand on both sides."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sem_train.data.pictures import Picture
from semforge.errors import InputError


@dataclass(frozen=True)
class Fold:
    """One way to split the specimens."""

    number: int
    test: tuple[str, ...]  # specimens, sorted; all others train


def grouped_folds(specimens: Sequence[str], count: int, seed: int) -> list[Fold]:
    """Deal specimens into `count` folds of nearly equal numbers of images.

    `specimens` has one entry an image. Specimens with most images are dealt first, each to the fold with
    the fewest images so far; the seed orders equals. Raises InputError if there are fewer specimens than folds.
    """
    images = Counter(specimens)
    if len(images) < count:
        raise InputError(f"{count} folds need as many specimens, found {len(images)}; lower 'folds.count'")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    names = sorted(images)
    order = sorted(rng.permutation(len(names)), key=lambda i: -images[names[i]])
    dealt: list[list[str]] = [[] for _ in range(count)]
    for i in order:
        smallest = min(dealt, key=lambda fold: (sum(images[name] for name in fold), len(fold)))
        smallest.append(names[i])
    return [Fold(number, tuple(sorted(fold))) for number, fold in enumerate(dealt)]


def refuse_shared_specimens(train: Iterable[Picture], others: Iterable[Picture], how: str = "held out") -> None:
    """Raises InputError if a specimen or an image is trained on and stands among those that are not. `how` they are."""
    train, others = list(train), list(others)
    shared = {p.specimen for p in train} & {p.specimen for p in others}
    if shared:
        raise InputError(
            f"specimen {sorted(shared)[0]!r} is both trained on and {how}; expected whole specimens on either side"
        )
    seen = {p.identity: p for p in train}
    for picture in others:
        if picture.identity in seen:
            other = seen[picture.identity]
            raise InputError(
                f"{picture.name} ({how}) and {other.name} (trained on) are the same image under specimens "
                f"{picture.specimen!r} and {other.specimen!r}; give them one specimen"
            )


def refuse_images_of_two_specimens(pictures: Iterable[Picture]) -> None:
    """Raises InputError if an image stands under two specimens, which splits would have on two sides."""
    seen: dict[str, Picture] = {}
    for picture in pictures:
        other = seen.setdefault(picture.identity, picture)
        if other.specimen != picture.specimen:
            raise InputError(
                f"{other.file or other.name} and {picture.file or picture.name} are the same image under specimens "
                f"{other.specimen!r} and {picture.specimen!r}; give them one specimen, or remove one"
            )
