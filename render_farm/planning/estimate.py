"""What a job would take, before anything is handed in: tasks, arrays, wall time, core- and GPU-hours, energy."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from rich.console import Group

from render_farm.clusters import LocalPool, PoolSettings, SlurmPool
from render_farm.planning.balance import Load, finish_s
from render_farm.planning.plan import STARTUP_S, Capacity, Task, plan_tasks, sample_seconds
from semforge.tables import turned_table

HEADINGS = ("pool", "samples", "tasks", "arrays", "s/sample", "wall time", "core-h", "GPU-h", "kWh")
HOUR_S = 3600.0
LARGEST_ARRAY = 1000  # tasks; Slurm's default MaxArraySize of 1001 counts from 0


@dataclass(frozen=True)
class PoolEstimate:
    """What one pool, or all of them, would do. What follows from the time a sample takes is None where that is unknown.

    Hours are those that are charged: cores and GPUs of a task times how long it runs, start-up included.
    """

    pool: str
    samples: int
    tasks: int
    arrays: int  # Slurm's; none where tasks are processes of this machine
    seconds_per_sample: float | None  # of one task
    wall_s: float | None
    core_hours: float | None
    gpu_hours: float | None
    energy_kwh: float | None


@dataclass(frozen=True)
class Estimate:
    """The pools, all of them together, and in words what was assumed for want of a measurement."""

    pools: tuple[PoolEstimate, ...]
    total: PoolEstimate
    assumes: tuple[str, ...]

    def to_json(self) -> str:
        """One line of JSON with the fields as keys."""
        return json.dumps(asdict(self))

    def __rich__(self) -> Group:
        """The estimate as a table for people, a pool a column: it fits 80 columns at any number of samples."""
        rows = [_cells(row) for row in (*self.pools, self.total)]
        return turned_table(f"{self.total.samples} samples", HEADINGS, rows, "\n".join(self.assumes))


def estimate(
    count: int, pools: Mapping[str, PoolSettings], capacities: Sequence[Capacity], *, cores: int,
    largest_array: int = LARGEST_ARRAY, measured: Collection[str] = (),
) -> Estimate:  # fmt: skip
    """What it takes to render `count` samples with those pools, from the very tasks that would be handed in.

    `capacities` say what is known of the pools (in any order, all of `pools`); `cores` are this
    machine's, shared by local pools' tasks; arrays hold `largest_array` tasks at most; the times of
    pools that are not `measured` are said to be assumed. Wall time is that of working through the
    tasks in their order with all slots free from the start.
    """
    plan = plan_tasks(range(count), capacities)
    timed = any(capacity.seconds_per_sample is not None for capacity in capacities)
    rows = tuple(
        _row(
            pools[capacity.pool], replace(capacity, seconds_per_sample=seconds if timed else None),
            plan[capacity.pool], cores, largest_array,
        )
        for capacity, seconds in zip(capacities, sample_seconds(capacities), strict=True)
    )  # fmt: skip
    return Estimate(rows, _total(rows), tuple(_assumptions(pools, capacities, measured)))


def gpus(settings: PoolSettings) -> int:
    """GPUs that a task of the pool is charged for: of gres `gpu:a100:2` two, of `gpu` one."""
    if not isinstance(settings, SlurmPool) or settings.gres is None:
        return 0
    return sum(_gpus(resource) for resource in settings.gres.split(","))


def duration(seconds: float | None) -> str:
    """`3 h 05 min`, `12 min 30 s`, `8.2 s`, for people."""
    if seconds is None:
        return "not known"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def amount(value: float) -> str:
    """Hours or kWh for people: one digit after the point, and of a small amount two that are not zero."""
    if not 0 < value < 1:
        return f"{value:.1f}"
    return f"{value:.{1 - math.floor(math.log10(value))}f}"


def _row(
    settings: PoolSettings, capacity: Capacity, tasks: Sequence[Task], cores: int, largest_array: int
) -> PoolEstimate:
    samples = sum(map(len, tasks))
    arrays = math.ceil(len(tasks) / largest_array) if isinstance(settings, SlurmPool) else 0
    row = PoolEstimate(
        capacity.pool, samples, len(tasks), arrays, capacity.seconds_per_sample, None, None, None, None
    )  # fmt: skip
    if capacity.seconds_per_sample is None:
        return row
    hours = (samples * capacity.seconds_per_sample + len(tasks) * capacity.startup_s) / HOUR_S
    return replace(
        row, wall_s=finish_s(Load(capacity, tuple(tasks))), core_hours=hours * _cores(settings, capacity, cores),
        gpu_hours=hours * gpus(settings), energy_kwh=hours * settings.watts_per_task / 1000,
    )  # fmt: skip


def _total(rows: Sequence[PoolEstimate]) -> PoolEstimate:
    walls = [row.wall_s for row in rows]
    return PoolEstimate(
        "all", sum(row.samples for row in rows), sum(row.tasks for row in rows), sum(row.arrays for row in rows), None,
        None if None in walls else max(wall for wall in walls if wall is not None),
        *(_sum([getattr(row, name) for row in rows]) for name in ("core_hours", "gpu_hours", "energy_kwh")),
    )  # fmt: skip


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _cores(settings: PoolSettings, capacity: Capacity, cores: int) -> int:
    if isinstance(settings, SlurmPool):
        return settings.cpus
    return max(1, cores // capacity.slots) if isinstance(settings, LocalPool) else cores


def _gpus(resource: str) -> int:
    name, *rest = resource.strip().split(":")
    if name != "gpu":
        return 0
    return int(rest[-1]) if rest and rest[-1].isdigit() else 1


def _assumptions(
    pools: Mapping[str, PoolSettings], capacities: Sequence[Capacity], measured: Collection[str]
) -> Iterator[str]:
    timed = any(capacity.seconds_per_sample is not None for capacity in capacities)
    for capacity in capacities if timed else ():
        if capacity.pool not in measured:
            yield f"{capacity.pool}: {_source(pools[capacity.pool], capacity)}"
        if capacity.startup_s == STARTUP_S:
            yield f"{capacity.pool}: start-up {STARTUP_S:g} s, not measured"
    if timed:
        yield "energy from watts_per_task, while tasks run"
    else:
        yield "no pool's time a sample is known: tasks are small, and times cannot be told before a probe"
    if any(isinstance(settings, SlurmPool) for settings in pools.values()):
        yield "all slots are free from the start: waiting in Slurm's queue is not in it"


def _source(settings: PoolSettings, capacity: Capacity) -> str:
    if capacity.seconds_per_sample is not None and capacity.seconds_per_sample == settings.seconds_per_sample:
        return f"seconds_per_sample {capacity.seconds_per_sample:g} is the cluster file's, not measured"
    return f"time a sample from others', by relative_speed {capacity.relative_speed:g}, not measured"


def _cells(row: PoolEstimate) -> list[str]:
    return [
        row.pool, f"{row.samples}", f"{row.tasks}", f"{row.arrays}",
        "" if row.seconds_per_sample is None else f"{row.seconds_per_sample:.2f}", duration(row.wall_s),
        *("" if value is None else amount(value) for value in (row.core_hours, row.gpu_hours, row.energy_kwh)),
    ]  # fmt: skip
