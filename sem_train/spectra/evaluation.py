"""Methods against the truth: held-out draws, point spectra and scenes; against counts and spatial binning."""

import time
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sem_train.spectra.draws import Drawer
from sem_train.spectra.mapping import map_image
from sem_train.spectra.methods import method_of
from sem_train.spectra.model import SpectralModel
from sem_train.spectra.named import Method
from sem_train.spectra.references import References, classes_of, gather, point_files
from sem_train.spectra.scenes import InMemory, Scene
from sem_train.spectra.scoring import UNKNOWN, Scores, at_boundaries, score, top
from sem_train.spectra.training import HELD_OUT
from semforge.errors import InputError, naming
from semforge.spectra import read_spectrum

COUNTS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000)
BINNINGS = (1, 2, 4, 8)
DRAWN_SPECTRA = 2000
SEED = 11
AVERAGED = ("accuracy", "unclassified", "accuracy_of_named", "boundary", "interior", "share_error", "refused")


@dataclass(frozen=True)
class Row:
    """A method on one set of spectra."""

    data: str
    method: str
    counts: float  # mean counts of a pixel or spectrum
    binning: int
    scores: Scores
    seconds: float
    top3: float = float("nan")  # share of spectra with the true class among the three best

    @property
    def speed(self) -> float:
        """Spectra a second."""
        return self.scores.spectra / self.seconds if self.seconds else float("nan")


class Bench:
    """The methods to compare, made of one run: all know what its network was trained on."""

    def __init__(self, model: SpectralModel, names: Iterable[str]):
        self.model = model
        self._gathered: tuple[References, References] | None = None
        self.methods: list[Method] = [method_of(name, model, lambda: self.references[0]) for name in names]

    @property
    def references(self) -> tuple[References, References]:
        """Learnt and held out."""
        if self._gathered is None:
            learnt, held, _ = gather(self.model.config.data)
            self._gathered = learnt, held
        return self._gathered


def on_draws(
    bench: Bench, doses: Sequence[float] = COUNTS, told: Callable[[Row], None] = lambda row: None
) -> list[Row]:
    """Scores on draws of held-out variants, pure phases, with the errors of instruments, at each of the doses."""
    model = bench.model
    settings = model.config.draws.model_copy(update={"mixed": 0.0})
    drawer = Drawer(bench.references[1], settings, model.axis, torch.device("cpu"))
    drawn_of = "training draws" if bench.references[1].learnt_too else "held-out draws"
    rows = []
    for number, dose in enumerate(doses):
        drawn = drawer.batch(HELD_OUT + 10_000 + number, DRAWN_SPECTRA, SEED, dose=dose)
        counts, true = drawn.counts.numpy(), drawn.shares.numpy().argmax(-1)
        for method in bench.methods:
            rows.append(_row(drawn_of, method, counts, true, dose))
            told(rows[-1])
    return rows


def on_points(
    bench: Bench, folder: Path, leave: Container[Path] = ()
) -> tuple[list[Row], list[str], np.ndarray, np.ndarray]:
    """Scores on point spectra but those to `leave` out; with the files' names, true classes (N,) and counts (N, C).

    Raises InputError if a file is of a class that the network does not have, or cannot be rebinned to its axis.
    """
    model = bench.model
    files = [(path, name) for path, name in point_files(folder) if path.resolve() not in leave]
    strange = next((name for _, name in files if name not in model.classes), None)
    if strange is not None:
        raise InputError(f"{folder}: has spectra of {strange!r}, the network knows {', '.join(model.classes)}")
    counts = np.stack([_on_axis(model, path) for path, _ in files])
    true = np.array([model.classes.index(name) for _, name in files])
    mean = float(counts.sum(-1).mean())
    rows = [_row(Path(folder).name, method, counts, true, mean) for method in bench.methods]
    return rows, [path.name for path, _ in files], true, counts


def _on_axis(model: SpectralModel, path: Path) -> np.ndarray:
    spectrum = read_spectrum(path)
    with naming(path):
        return model.on_axis(spectrum.counts, spectrum.axis, spectrum.beam_kev)


def on_scene(
    bench: Bench, scene: Scene, doses: Sequence[float] = (), binnings: Sequence[int] = (1,),
    told: Callable[[Row], None] = lambda row: None,
) -> list[Row]:  # fmt: skip
    """Scores on a scene as it is, with fewer counts, and binned.

    Counts are thinned one by one, which leaves them Poisson; doses above those of the scene are left out.
    """
    rows = []
    own = mean_counts(scene)
    for dose in [own, *(d for d in doses if d < 0.99 * own)]:
        thinned = scene if dose == own else thinned_to(scene, dose / own)
        for binning in binnings if dose == own else (1,):
            for method in bench.methods:
                rows.append(_map_row(bench.model, method, thinned, dose, binning))
                told(rows[-1])
    return rows


def pooled(data: str, rows: Sequence[Row]) -> Row:
    """Several scenes as one, each spectrum alike."""
    scores = [row.scores for row in rows]
    spectra = sum(s.spectra for s in scores)
    mean = lambda values: float(np.average(values, weights=[s.spectra for s in scores]))
    confusion = np.sum([s.confusion for s in scores], axis=0)
    present = confusion.sum(-1)
    right = np.nansum([s.recall * s.confusion.sum(-1) for s in scores], axis=0)
    recall = np.where(present > 0, right / np.maximum(present, 1), np.nan)
    whole = {name: mean([getattr(s, name) for s in scores]) for name in AVERAGED}
    found = Scores(spectra, recall=recall, confusion=confusion, **whole)
    counts = mean([row.counts for row in rows])
    return Row(data, rows[0].method, counts, rows[0].binning, found, sum(row.seconds for row in rows))


def mean_counts(scene: Scene) -> float:
    """Mean counts of the pixels whose phase is known."""
    total, pixels = 0.0, 0
    for rows, columns, counts in scene.blocks():
        known = scene.labels[rows, columns] >= 0
        total += float(counts[known].sum(dtype=np.float64))
        pixels += int(known.sum())
    return total / max(pixels, 1)


def thinned_to(scene: Scene, share: float, seed: int = SEED) -> Scene:
    """A scene of which each count was kept with the probability `share`."""
    rng = np.random.default_rng(seed)
    out = np.zeros(scene.counts.shape, np.uint16)
    for rows, columns, counts in scene.blocks():
        out[rows, columns] = rng.binomial(counts, share)
    return replace(scene, counts=InMemory(out))


def true_classes(scene: Scene, model: SpectralModel) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Of a scene's pixels: classes (H, W), UNKNOWN where none; shares (H, W, K) if known; which are of no class."""
    taken = classes_of(list(scene.names), _class_settings(model))
    place = {name: k for k, name in enumerate(model.classes)}
    table = np.array([place.get(taken[name] or "", UNKNOWN) for name in scene.names], dtype=np.int64)
    labels = np.where(scene.labels >= 0, table[scene.labels], UNKNOWN)
    strangers = (scene.labels >= 0) & (labels == UNKNOWN)
    shares = None
    if scene.shares is not None:
        shares = np.zeros((*labels.shape, len(model.classes)), np.float32)
        for p, k in enumerate(table):
            if k != UNKNOWN:
                shares[..., k] += scene.shares[..., p]
    return labels, shares, strangers


def _class_settings(model: SpectralModel) -> dict[str, tuple[str, ...]]:
    return model.config.data.classes or {name: (name,) for name in model.classes}


def _row(data: str, method: Method, counts: np.ndarray, true: np.ndarray, dose: float) -> Row:
    started = time.perf_counter()
    named = method.named(counts)
    seconds = time.perf_counter() - started
    found = score(true, named.labels, named.scores)
    return Row(data, method.name, dose, 1, found, seconds, top(named.scores, true, 3) / len(true))


def _map_row(model: SpectralModel, method: Method, scene: Scene, dose: float, binning: int) -> Row:
    started = time.perf_counter()
    found = map_image(method, model.classes, scene, model.axis, binning)
    seconds = time.perf_counter() - started
    labels, shares, strangers = true_classes(scene, model)
    edge = at_boundaries(labels)
    pixels = lambda squares: found.in_pixels(squares).reshape(labels.size, *squares.shape[2:])
    result = score(
        labels.ravel(), pixels(found.labels), pixels(found.scores), edge.ravel(),
        shares.reshape(labels.size, -1) if shares is not None else None,
        pixels(found.scores) if found.unmixed else None, strangers.ravel() if strangers.any() else None,
    )  # fmt: skip
    return Row(scene.name, method.name, dose, binning, result, seconds)
