"""How often intervals of `sem-train compare` hold the truth, and how often it sees a difference where there is none.

python -m benchmarks.experiment_statistics [repetitions]
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

from sem_train.experiments.analysis import corrected, difference_of
from sem_train.experiments.intervals import interval
from sem_train.experiments.quantities import Quantity
from sem_train.experiments.verdict import answer

# Differences between specimens, of mean zero and variance one
SPREADS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed (exponential)": lambda rng, n: rng.exponential(size=n) - 1,
    "long-tailed (t, 3 degrees)": lambda rng, n: rng.standard_t(3, n) / np.sqrt(3),
}
MEAN_IOU = Quantity("mean_iou", "mean IoU", "", "higher", primary=True)


@dataclass(frozen=True)
class Layout:
    """Specimens in folds of equal size, each trained on once a seed."""

    specimens: int = 9
    folds: int = 3
    seeds: int = 3

    @property
    def trainings(self) -> list[tuple[int, int]]:
        """Fold and seed of each."""
        return [(fold, seed) for fold in range(self.folds) for seed in range(self.seeds)]

    def differences(self, rng: np.random.Generator, luck: float, noise: float = 0.5) -> np.ndarray:
        """Table (specimens, trainings) of mean zero; its sd: specimens 1, trainings `luck`, cells `noise`."""
        own, shared = rng.normal(size=(self.specimens, 1)), rng.normal(0, luck, size=len(self.trainings))
        table = own + shared + rng.normal(0, noise, size=(self.specimens, len(shared)))
        fold_of = np.arange(self.specimens) % self.folds
        return np.where(fold_of[:, None] == np.array([fold for fold, _ in self.trainings]), table, np.nan)


def coverage(spread: str, specimens: int, repetitions: int, rng: np.random.Generator) -> float:
    """Share of experiments whose interval holds the true mean, specimens alone being chance."""
    draws = (SPREADS[spread](rng, specimens) for _ in range(repetitions))
    return float(np.mean([low <= 0 <= high for low, high in (interval(x[:, None], [0]) for x in draws)]))


def coverage_of(method: str, spread: str, specimens: int, repetitions: int, rng: np.random.Generator) -> float:
    """The same of scipy's `percentile` or `BCa`."""
    hits = 0
    for _ in range(repetitions):
        found = bootstrap((SPREADS[spread](rng, specimens),), np.mean, method=method, n_resamples=2000, rng=rng)
        hits += found.confidence_interval.low <= 0 <= found.confidence_interval.high
    return hits / repetitions


def coverage_with_luck(layout: Layout, luck: float, repetitions: int, rng: np.random.Generator) -> float:
    """Share of experiments whose interval holds the true mean, where trainings are chance too."""
    folds = [fold for fold, _ in layout.trainings]
    found = (interval(layout.differences(rng, luck), folds) for _ in range(repetitions))
    return float(np.mean([low <= 0 <= high for low, high in found]))


def false_alarms(layout: Layout, luck: float, comparisons: int, repetitions: int, rng: np.random.Generator) -> float:
    """Share of experiments without any difference in which at least one arm is said to help or hurt."""
    specimens = [str(i) for i in range(layout.specimens)]
    return float(np.mean([_alarm(layout, luck, comparisons, specimens, rng) for _ in range(repetitions)]))


def _alarm(layout: Layout, luck: float, comparisons: int, specimens: list[str], rng: np.random.Generator) -> bool:
    reference = layout.differences(rng, luck) / np.sqrt(2)
    found = [
        difference_of(f"arm {i}", "all", MEAN_IOU, specimens, layout.trainings,
                      layout.differences(rng, luck) / np.sqrt(2) - reference)
        for i in range(comparisons)
    ]  # fmt: skip
    return any(answer(d, MEAN_IOU) != "cannot be told" for d in corrected(found, [MEAN_IOU], (), "holm"))


def main() -> None:
    """Print the tables of docs/comparing.md."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rng = np.random.default_rng(0)
    chance = 196 * np.sqrt(0.05 * 0.95 / repetitions)
    print(f"{repetitions} repetitions: a share of 0.95 is known to ± {chance:.1f} points (95 %)")
    for spread in SPREADS:
        for n in (5, 9, 20):
            few = min(repetitions, 1000)
            others = {m: coverage_of(m, spread, n, few, rng) for m in ("percentile", "BCa")}
            print(f"{spread}, {n} specimens: bootstrap-t {coverage(spread, n, repetitions, rng):.3f}",
                  *(f"{name} {share:.3f}" for name, share in others.items()), flush=True)  # fmt: skip
    for layout in (Layout(seeds=1), Layout(seeds=3), Layout(specimens=9, folds=9, seeds=1), Layout(66, 1, 3)):
        for luck in (0.0, 0.5, 1.0, 2.0):
            held = coverage_with_luck(layout, luck, repetitions, rng)
            alarms = {m: false_alarms(layout, luck, m, repetitions // 2, rng) for m in (1, 6)}
            print(f"{layout}, luck {luck}: interval holds {held:.3f}, false alarms "
                  + ", ".join(f"{share:.3f} in {m}" for m, share in alarms.items()), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
