"""What a run on a cluster would be like: planner and rebalancing at work on a model of the queue.

Says how far a run stays behind the ideal and where the time goes, before a site is asked for
a million samples' worth of its hours.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Group

from render_farm.clusters import Cluster, Count, PoolSettings, Positive, SlurmPool
from render_farm.planning.estimate import duration
from render_farm.planning.plan import Capacity
from render_farm.planning.queue_model import HOUR_S, USES, QueueModel, Site, Use
from render_farm.pools.opening import slots
from semforge.settings import Settings, load_settings, parse_settings
from semforge.tables import turned_table

NotNegative = Annotated[float, Field(ge=0)]


class Chances(Settings):
    """What a simulation assumes where the cluster file says nothing. Spreads are standard deviations over means.

    What is in Slurm's hands (latency, preemption, failures of nodes) does not befall local pools.
    """

    seconds_per_sample: Positive = 2.0  # of a task of relative speed 1, in pools whose file gives none
    speeds_known: bool = False  # else the run believes, until it has measured, that all pools take the above
    sample_spread: NotNegative = 0.5  # of samples
    node_spread: NotNegative = 0.1  # of nodes' speeds
    tasks_per_node: Count = 8
    startup_s: NotNegative = 10.0  # of a task, until its renderer is up
    startup_spread: NotNegative = 0.3
    latency_s: NotNegative = 5.0  # from a free slot until Slurm has started a queued task on it
    task_failures_per_hour: NotNegative = 0.01  # of a running task: out of memory, the shared disk away
    preemptions_per_hour: NotNegative = 0.05  # of a running task; it is warned
    preempted_min: NotNegative = 30.0  # until the slot is ours again
    node_failures_per_day: NotNegative = 0.02  # of a node; its tasks are not warned
    repair_h: NotNegative = 4.0
    node_timeout_s: NotNegative = 300.0  # until Slurm says that the node is gone


NOTHING_HAPPENS: dict[str, float | bool] = {
    "sample_spread": 0.0, "node_spread": 0.0, "startup_spread": 0.0, "latency_s": 0.0, "task_failures_per_hour": 0.0,
    "preemptions_per_hour": 0.0, "node_failures_per_day": 0.0, "speeds_known": True,
}  # fmt: skip


@dataclass(frozen=True)
class PoolUse:
    """What a pool did. `spent` are the shares of its slots' time, and sum to 1.

    `rendering` counts samples that reached the disk; `lost` those that did not; `waiting` is for
    Slurm with a task queued; `idle` has none; `away` is with a node down or a slot preempted.
    """

    pool: str
    slots: int
    seconds_per_sample: float  # of a task, mean over nodes as drawn
    samples: int
    tasks: int  # begun
    retries: int  # tasks that ended without all of their samples
    spent: dict[Use, float]


@dataclass(frozen=True)
class Simulation:
    """How a run went. Times in seconds; the ideal is perfectly divisible work and nothing but rendering."""

    samples: int
    seed: int
    makespan_s: float
    ideal_s: float
    ratio: float
    rendered: int  # samples, with those rendered again
    tasks: int
    retries: int
    withdrawals: int  # of a pool's queue
    handovers: int
    pools: tuple[PoolUse, ...]
    spent: dict[Use, float]  # of all slots
    assumes: dict[str, float | bool]

    def to_json(self) -> str:
        """One line of JSON with the fields as keys."""
        return json.dumps(asdict(self))

    def __rich__(self) -> Group:
        """The simulation as a table for people."""
        everything = sum(pool.slots for pool in self.pools)
        rows = [
            [pool.pool, str(pool.slots), f"{pool.seconds_per_sample:.2f}", str(pool.samples), str(pool.tasks),
             str(pool.retries), *_shares(pool.spent)]
            for pool in self.pools
        ]  # fmt: skip
        rows.append(["all", str(everything), "", str(self.samples), str(self.tasks), str(self.retries),
                     *_shares(self.spent)])  # fmt: skip
        assumed = ", ".join(f"{key} {value:g}" for key, value in self.assumes.items())
        notes = (
            f"shares of the slots' time; queues planned again {self.withdrawals} times, {self.handovers} parts of "
            f"running tasks handed over, {self.rendered - self.samples} samples rendered again\n"
            f"seed {self.seed}, assumed: {assumed}"
        )
        return turned_table(
            f"{self.samples} samples simulated: {duration(self.makespan_s)}, ideal {duration(self.ideal_s)}, "
            f"ratio {self.ratio:.3f}", ["pool", "slots", "s/sample", "samples", "tasks", "retries", *USES], rows, notes,
        )  # fmt: skip


def load_chances(path: Path | None, overrides: Iterable[str] = ()) -> Chances:
    """What to assume, from a YAML file or the defaults, after `key=value` overrides. Raises InputError."""
    if path is not None:
        return load_settings(path, Chances, overrides)
    return parse_settings("{}", Chances, "overrides", overrides)


def simulate(cluster: Cluster, count: int, chances: Chances | None = None, seed: int = 0) -> Simulation:
    """Render `count` samples in a model of the cluster.

    Raises SemforgeError if tasks fail so often that nothing is ever finished.
    """
    chances = chances or Chances()
    model = model_of(cluster, count, chances, seed)
    model.run()
    return _result(model, seed, chances)


def model_of(cluster: Cluster, count: int, chances: Chances, seed: int) -> QueueModel:
    """The model that `simulate` runs."""
    sites = [_site(name, settings, chances) for name, settings in cluster.pools.items()]
    return QueueModel(count, sites, cluster.poll_s, cluster.checkpoint_s, seed)


def _site(name: str, settings: PoolSettings, chances: Chances) -> Site:
    in_slurm = isinstance(settings, SlurmPool)
    limit_s = settings.time_min * 60.0 - settings.grace_s if isinstance(settings, SlurmPool) else float("inf")
    seconds = settings.seconds_per_sample or chances.seconds_per_sample / settings.relative_speed
    return Site(
        capacity=Capacity(
            name, slots(settings), seconds, chances.startup_s, settings.minutes_per_task * 60,
            settings.samples_per_task, settings.relative_speed,
        ),
        believed_s=seconds if chances.speeds_known else chances.seconds_per_sample,
        tasks_per_node=chances.tasks_per_node if in_slurm else slots(settings),
        sample_spread=chances.sample_spread, node_spread=chances.node_spread * in_slurm,
        startup_spread=chances.startup_spread, latency_s=chances.latency_s * in_slurm,
        task_failures_per_hour=chances.task_failures_per_hour,
        preemptions_per_hour=chances.preemptions_per_hour * in_slurm, preempted_s=chances.preempted_min * 60,
        node_failures_per_hour=chances.node_failures_per_day / 24 * in_slurm, repair_s=chances.repair_h * HOUR_S,
        node_timeout_s=chances.node_timeout_s,
        limit_s=limit_s,
    )  # fmt: skip


def _result(model: QueueModel, seed: int, chances: Chances) -> Simulation:
    pools = tuple(
        PoolUse(
            pool=name, slots=len(pool.slots),
            seconds_per_sample=(pool.site.capacity.seconds_per_sample or 0.0) * pool.mean_pace,
            samples=pool.samples, tasks=pool.tasks, retries=pool.retries,
            spent={use: pool.spent[use] / (len(pool.slots) * model.makespan_s) for use in USES},
        )
        for name, pool in model.pools.items()
    )  # fmt: skip
    slots_s = sum(pool.slots for pool in pools) * model.makespan_s
    return Simulation(
        samples=model.count, seed=seed, makespan_s=model.makespan_s, ideal_s=model.ideal_s,
        ratio=model.makespan_s / model.ideal_s, rendered=model.rendered, tasks=sum(pool.tasks for pool in pools),
        retries=sum(pool.retries for pool in pools), withdrawals=model.withdrawals, handovers=model.handovers,
        pools=pools,
        spent={use: sum(pool.spent[use] for pool in model.pools.values()) / slots_s for use in USES},
        assumes=chances.model_dump(),
    )  # fmt: skip


def _shares(spent: dict[Use, float]) -> list[str]:
    return [f"{100 * spent[use]:.1f} %" for use in USES]
