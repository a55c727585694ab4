"""A benchmark for the eye and for machines."""

import os
from dataclasses import asdict
from statistics import quantiles
from typing import Any

from rich.console import Group
from rich.table import Table

from sem_train.bench.measurement import Result
from sem_train.bench.rounds import Row
from sem_train.bench.scaling import Scale
from sem_train.provenance import commit, versions


def table(result: Result) -> Group:
    """A table a model, and under them what the words mean."""
    how, threads = result.how, ", ".join(sorted({str(row.threads) for row in result.rows}))
    circumstances = (
        f"{result.device}, {os.cpu_count()} cores, threads {threads}, "
        f"load {result.load[0]:.1f} to {result.load[1]:.1f}; "
        f"batches of {result.batch} crops of {result.crop_px} x {result.crop_px}; "
        f"{how.repeats} x {how.steps} steps after {how.warm_up}"
    )
    tables = [_table_of(result, model) for model in dict.fromkeys(row.model for row in result.rows)]
    meanings = {row.setting: f"{row.setting}: {row.about}" for row in result.rows}
    spread = ", ± sd over trainings" if how.repeats > 1 else ""
    peak = "a matrix product in the same number format, by CPU time unless on a GPU"
    notes = f"loss: mean over the last steps{spread}; peak: {peak}"
    scaling = [_scaling_table(result.scaling)] if result.scaling else []
    return Group(*tables, circumstances, *meanings.values(), notes, *scaling)


def _table_of(result: Result, model: str) -> Table:
    rows = [row for row in result.rows if row.model == model]
    sizes = dict.fromkeys(f"{r.parameters / 1e6:.3g} M weights, {r.multiply_adds / 1e9:.3g} G" for r in rows[::-1])
    drawn = Table(title=f"{model}: {'; library: '.join(sizes)} multiply-adds a crop", box=None, pad_edge=False)
    drawn.add_column("setting")
    for heading in (
        "step\ns",
        "CPU\ns",
        "images\na s",
        "x de-\nfault",
        "x lib-\nrary",
        "loss",
        "memory\nGiB",
        "of\npeak",
    ):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        ratios = [_ratio(row, result.row(model, other)) for other in ("default", "library")]
        drawn.add_row(
            row.setting, f"{row.step_seconds:.3g}", f"{row.cpu_seconds:.3g}", f"{row.images_per_second:.3g}",
            *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            _loss(row), f"{row.memory_mib / 1024:.2f}", f"{row.share_of_peak:.0%}",
        )  # fmt: skip
    return drawn


def as_dict(result: Result) -> dict[str, Any]:
    """The same and more as plain values."""
    return {
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in result.load],
        "versions": versions(),
        "commit": commit(),
        "batch": result.batch,
        "crop_px": result.crop_px,
        **asdict(result.how),
        "device": result.device,
        "rows": [_row(result, row) for row in result.rows],
        "scaling": [asdict(scale) for scale in result.scaling],
    }


def _scaling_table(scales: tuple[Scale, ...]) -> Table:
    drawn = Table(title="sem-train fit, the same batch on each GPU")
    for heading in ("model", "GPUs", "step, s", "images/s", "of ideal"):
        drawn.add_column(heading, justify="left" if heading == "model" else "right")
    for scale in scales:
        drawn.add_row(
            scale.model, str(scale.devices), f"{scale.step_seconds:.3g}", f"{scale.images_per_second:.4g}",
            f"{scale.efficiency:.0%}",
        )  # fmt: skip
    return drawn


def _row(result: Result, row: Row) -> dict[str, Any]:
    default, library = (result.row(row.model, other) for other in ("default", "library"))
    every = [turn.wall_s for turn in row.turns]
    return {
        "model": row.model,
        "setting": row.setting,
        "about": row.about,
        "parameters": row.parameters,
        "multiply_adds": row.multiply_adds,
        "step_multiply_adds": row.step_multiply_adds,
        "number_format": row.number_format,
        "threads": row.threads,
        "step_s": row.step_seconds,
        "step_s_quartiles": quantiles(every, n=4) if len(every) > 1 else None,
        "images_per_second": row.images_per_second,
        "times_default": _ratio(row, default),
        "times_library": _ratio(row, library),
        "cpu_s": row.cpu_seconds,
        "times_default_in_cpu": row.times_in_cpu(default) if default else None,
        "times_library_in_cpu": row.times_in_cpu(library) if library else None,
        "loss": row.loss,
        "loss_sd": row.loss_sd,
        "losses": list(row.last_losses),
        "memory_mib": row.memory_mib,
        "matmul_rate": row.matmul,
        "share_of_peak": row.share_of_peak,
    }


def _ratio(row: Row, other: Row | None) -> float | None:
    return row.times(other) if other else None


def _loss(row: Row) -> str:
    return f"{row.loss:.3f}" if row.loss_sd is None else f"{row.loss:.3f}±{row.loss_sd:.3f}"
