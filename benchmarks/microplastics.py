"""Real pictures, synthetic ones, both, or one after the other: microplastics by shape, four folds.

    render-farm run configs/recipes/microplastics.yaml --count 600 --out data/microplastics
    python -m benchmarks.microplastics train --root real/microplastics --synthetic data/microplastics
    python -m benchmarks.microplastics report --out runs/microplastics

Every run has the same network, the same number of steps and the last weights; a fold's pictures are never trained on
when it is tested. What is on disk is not trained again. Differences are paired by picture: the share of seeds that name
a picture rightly, of one arm less that of the other, pictures drawn with replacement.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import f1_score, recall_score

from sem_train.classification.config import ClassifyPlan
from sem_train.classification.drawing import Draws, batches
from sem_train.classification.gathering import read_sources, reading_of
from sem_train.classification.network import Classifier, build_classifier
from sem_train.classification.particles import ParticleSet
from sem_train.classification.sources import real_sources, synthetic_sources
from sem_train.config import AnnealedShare
from sem_train.data import MixedBatches
from semforge.settings import validate

CLASSES = ("fibre", "fragment", "pellet")
FOLDS = ("1", "2", "3", "4")
ARMS = ("real", "mixed", "annealed", "synthetic", "pretrained")  # the last begins with the network of the one before
ANNEALED = AnnealedShare(start=0.25, end=1.0, begin=0.1, to=0.7)  # of real pictures in a batch, over the training
RESAMPLES = 20000
AUGMENT = {"flip": "both", "rotate_degrees": 180, "zoom": 0.25, "contrast": 0.4, "brightness": 0.15, "blur_px": 1.0,
           "noise": 0.1}  # fmt: skip


def plan_of(arm: str, seed: int, options: argparse.Namespace) -> ClassifyPlan:
    """The settings of one run."""
    share = {"real": 1.0, "synthetic": 0.0, "pretrained": 1.0}.get(arm, options.real_share)
    values = {
        "classes": [{"name": name} for name in CLASSES],
        "data": {
            "real": [{"root": str(options.root), "fold": "fold"}],
            "synthetic": [{"path": str(options.synthetic), "take": "pictures"}],
            "real_fraction": share,
            "crops": {"side_px": options.side, "size_input": False},
        },
        "model": {"name": "image", "image": {"name": options.network, "width": options.width}},
        "augment": AUGMENT,
        "training": {"steps": options.steps, "batch_size": options.batch, "seed": seed,
                     "learning_rate": options.rate * (0.5 if arm == "pretrained" else 1)},
    }  # fmt: skip
    return validate(values, ClassifyPlan, f"arm {arm}")


def runs(options: argparse.Namespace) -> Iterator[tuple[str, int, str]]:
    """Arm, seed and fold of all runs, the ones that matter most first. A synthetic run is tested on all folds."""
    for seed in range(options.seeds):
        for arm in options.arms:
            for fold in ["all"] if arm == "synthetic" else FOLDS:
                yield arm, seed, fold


def some(labels: np.ndarray, allowed: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Positions of the pictures that may be trained on; with a limit as many of each class, drawn by the seed."""
    if limit is None:
        return np.flatnonzero(allowed)
    rng = np.random.default_rng([seed, limit])
    own = [rng.permutation(np.flatnonzero(allowed & (labels == k)))[: limit // len(CLASSES)] for k in np.unique(labels)]
    return np.sort(np.concatenate(own))


def trained(
    network: Classifier, particles: ParticleSet, plan: ClassifyPlan, share: float | AnnealedShare
) -> Classifier:
    """The network after all steps, of batches with that share of real pictures."""
    training = plan.training
    draws = Draws(particles, plan)
    order = MixedBatches(*draws.kinds, share, training.batch_size, training.seed, steps=training.steps)
    optimiser = torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, training.learning_rate, total_steps=training.steps)
    torch.manual_seed(training.seed)
    network.train().to(memory_format=torch.channels_last)
    for step, batch in zip(range(training.steps), order, strict=False):
        inputs, labels = draws.__getitems__(batch)
        with torch.autocast("cpu", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(network(inputs), labels, label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"  step {step} loss {loss.item():.3f}", flush=True)
    return network.eval()


def predicted(network: Classifier, particles: ParticleSet, plan: ClassifyPlan) -> np.ndarray:
    """Probabilities (N, 3)."""
    with torch.inference_mode():
        return torch.cat([network(inputs).softmax(1) for inputs, _ in batches(particles, plan)]).numpy()


def train(options: argparse.Namespace) -> None:
    """All runs that are not on disk."""
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    first = plan_of("mixed", 0, options)
    reading = reading_of(first)
    sources = real_sources(first.data.real[0], reading)
    real, folds = read_sources(sources, reading), np.array([s.fold for s in sources])
    synthetic = read_sources(synthetic_sources(first.data.synthetic[0], reading), reading)
    print(f"{len(real)} real pictures, {len(synthetic)} synthetic: {np.bincount(synthetic.labels)}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "settings.json").write_text(json.dumps({k: str(v) for k, v in vars(options).items()}, indent=1))
    side = options.side
    for arm, seed, fold in runs(options):
        name = options.out / f"{arm}_{seed}_{fold}"
        if name.with_suffix(".json").exists():
            continue
        plan, test = plan_of(arm, seed, options), np.isin(folds, FOLDS if fold == "all" else [fold])
        start = options.out / f"synthetic_{seed}_all.pt"
        if arm == "pretrained" and not start.exists():
            continue
        began = time.monotonic()
        network = build_classifier(plan)
        if arm == "pretrained":
            network.load_state_dict(torch.load(start, weights_only=True))
        share = plan.data.real_share
        chosen = some(real.labels, ~test, options.limit, seed)
        parts = [*([synthetic] if share < 1 else []), *([real[chosen]] if share > 0 else [])]
        trained(network, ParticleSet.joined(parts, None, side), plan, ANNEALED if arm == "annealed" else share)
        probabilities = predicted(network, real[test], plan)
        if arm == "synthetic":
            torch.save(network.state_dict(), start)
        found = {
            "arm": arm, "seed": seed, "fold": fold, "names": real[test].names.tolist(),
            "labels": real[test].labels.tolist(), "probabilities": np.round(probabilities, 5).tolist(),
            "seconds": round(time.monotonic() - began, 1),
        }  # fmt: skip
        name.with_suffix(".json").write_text(json.dumps(found))
        right = float((probabilities.argmax(1) == real[test].labels).mean())
        print(f"{arm} seed {seed} fold {fold}: {right:.3f} in {found['seconds']:.0f} s", flush=True)


def report(options: argparse.Namespace) -> None:
    """Tables of what is on disk: seeds that have all four folds."""
    found = {arm: _by_seed(options.out, arm) for arm in ARMS}
    print(f"{'arm':12} seeds  accuracy (sd of seeds)  macro-F1       recall " + ", ".join(CLASSES))
    for arm, seeds in found.items():
        if seeds:
            accuracy = [float((p == t).mean()) for t, p in seeds.values()]
            macro = [f1_score(t, p, average="macro") for t, p in seeds.values()]
            recalls = np.mean([recall_score(t, p, average=None) for t, p in seeds.values()], axis=0)
            spread = lambda v: f"{np.mean(v):.4f} ± {np.std(v, ddof=1) if len(v) > 1 else 0:.4f}"
            print(f"{arm:12} {len(seeds):5}  {spread(accuracy):22}  {spread(macro)}  {np.round(recalls, 3)}")
    real = _by_seed(options.reference or options.out, "real")
    for arm in ARMS[1:]:
        shared = sorted(real.keys() & found[arm].keys())
        if shared:
            print(_difference(arm, real, found[arm], shared))


def _by_seed(folder: Path, arm: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Truth and prediction of all pictures, in the order of the folds, of seeds that have them all."""
    stored = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{arm}_*.json"))]
    seeds: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for seed in sorted({s["seed"] for s in stored}):
        own = sorted((s for s in stored if s["seed"] == seed), key=lambda s: s["fold"])
        rows = sorted((n, t, int(np.argmax(p))) for s in own
                      for n, t, p in zip(s["names"], s["labels"], s["probabilities"], strict=True))  # fmt: skip
        if [s["fold"] for s in own] in ([*FOLDS], ["all"]):
            seeds[seed] = np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    return seeds


Seeds = dict[int, tuple[np.ndarray, np.ndarray]]


def _difference(arm: str, real: Seeds, other: Seeds, shared: list[int]) -> str:
    truth = real[shared[0]][0]
    first, second = (np.stack([a[s][1] for s in shared]) for a in (real, other))
    gain = (second == truth).mean(0) - (first == truth).mean(0)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(1), [0.025, 0.975])
    score = lambda p, which: np.mean([f1_score(truth[which], row[which], average="macro") for row in p])
    macro = [score(second, d) - score(first, d) for d in drawn[:500]]
    every = np.arange(len(truth))
    f1_low, f1_high = np.quantile(macro, [0.025, 0.975])
    better = [float((other[s][1] == truth).mean() - (real[s][1] == truth).mean()) for s in shared]
    return (f"{arm} less real, {len(shared)} seeds: accuracy {gain.mean():+.4f} (95 % {low:+.4f} to {high:+.4f}), "
            f"macro-F1 {score(second, every) - score(first, every):+.4f} ({f1_low:+.4f} to {f1_high:+.4f}); "
            f"pictures better {int((gain > 0).sum())}, worse {int((gain < 0).sum())}; "
            f"by seed {np.round(better, 4).tolist()}")  # fmt: skip


def main() -> None:
    """`train` or `report`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "report"))
    parser.add_argument("--root", type=Path)
    parser.add_argument("--synthetic", type=Path, default=Path("data/microplastics"))
    parser.add_argument("--out", type=Path, default=Path("runs/microplastics"))
    parser.add_argument("--reference", type=Path, help="Folder of the arm real that others are compared with; [--out].")
    parser.add_argument("--network", default="small")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--real-share", type=float, default=0.5)
    parser.add_argument("--limit", type=int, help="Train on so many real pictures, as many of each class.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    {"train": train, "report": report}[options.action](options)


if __name__ == "__main__":
    main()
