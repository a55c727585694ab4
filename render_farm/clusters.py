"""Where to render, as a lab writes it down: a cluster is a few pools of equal tasks, in YAML.

`configs/clusters/` has one of each kind. A pool is what one Slurm array can be sent to
(partition, account, cores a task), or the cores of this machine. All pools of a cluster
work on one job at the same time, each at its own speed.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from semforge.errors import InputError
from semforge.files import existing_file
from semforge.settings import Settings, load_settings

DeviceChoice = Literal["cpu", "optix", "cuda", "hip", "oneapi", "auto"]

SAMPLE_TIMEOUT_MIN = 30.0  # unless the settings say otherwise, or a task's time limit is too short for it
LEAST_POLL_S = 1.0  # of a Slurm queue, which all users of a site share

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class _Pool(Settings):
    """What every pool says, whatever runs it."""

    device: DeviceChoice = "cpu"  # an absent device is an error; `auto` takes the best there and says which
    processes_per_task: Count | None = None  # Blenders in a task, sharing its cores; default: one a GPU, or one
    minutes_per_task: Positive = 10.0  # the aim once a sample's time is known; the last tasks are shorter
    samples_per_task: Count | None = None  # at most; with it no time needs to be known
    seconds_per_sample: Positive | None = None  # of one task, if known; measured as soon as there are samples
    relative_speed: Positive = 1.0  # of one task against this machine's worker, until it is measured
    watts_per_task: Positive = 60.0  # under load, for the estimate of energy
    sample_timeout_min: Positive | None = None  # a renderer silent for so long is killed; default: 30, or what fits


class LocalPool(_Pool):
    """Processes on this machine."""

    engine: Literal["local"] = "local"
    workers: Count | None = None  # tasks at a time; default: one a core


class DebugPool(_Pool):
    """All in the calling process, one sample after the other: breakpoints work."""

    engine: Literal["debug"]


class SlurmPool(_Pool):
    """Tasks of Slurm job arrays; the words are those of sbatch."""

    engine: Literal["slurm"]
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = None  # e.g. gpu:1, of one task
    cpus: Count = 2  # of one task
    memory_gb: Positive = 4.0  # of one task
    time_min: Count = 120  # limit of one task; it is requeued with what it has if it gets there
    parallel: Count = 64  # tasks at a time, most
    setup: tuple[str, ...] = ()  # shell lines before the task, e.g. module load, source activate
    python: str | None = None  # the interpreter on the nodes, if it is not the one that submits
    grace_s: Count = 90  # before the time limit, to write what is rendered; sbatch's --signal
    additional: dict[str, str | int | bool] = Field(
        default_factory=dict
    )  # any other option of sbatch, e.g. {reservation: coating}

    @model_validator(mode="after")
    def _task_fits_its_limit(self) -> "SlurmPool":
        if self.minutes_per_task > self.time_min:
            raise ValueError(f"minutes_per_task {self.minutes_per_task:g} is over time_min {self.time_min}")
        most_s = self.time_min * 60 // 2
        if self.grace_s > most_s:
            raise ValueError(
                f"grace_s {self.grace_s} is over half of time_min {self.time_min}; expected grace_s {most_s} or less, "
                "or a longer time_min"
            )
        if self.sample_timeout_min is not None and self.sample_timeout_min > self.longest_silence_min:
            raise ValueError(
                f"sample_timeout_min {self.sample_timeout_min:g} is over half of time_min {self.time_min} less grace_s "
                f"{self.grace_s}; expected {self.longest_silence_min:g} or less, or a longer time_min"
            )
        return self

    @property
    def longest_silence_min(self) -> float:
        """The longest `sample_timeout_min` with which a task gets over a sample that hangs.

        A renderer may be silent for so long twice, while it starts and over its first sample. If
        the time limit came first, the task would be requeued to the same sample, for ever.
        """
        return (self.time_min * 60 - self.grace_s) / 120


PoolSettings = Annotated[LocalPool | DebugPool | SlurmPool, Field(discriminator="engine")]


class Cluster(Settings):
    """Pools by name, and how they are looked after."""

    description: str = ""
    pools: dict[str, PoolSettings] = Field(min_length=1)
    checkpoint_s: Positive = 60.0  # a task writes what it has rendered at least this often
    poll_s: Positive = 15.0  # between two looks at Slurm's queue; with a Slurm pool 1 or more
    node_failures: Count = 3  # after so many failures there a node gets no more tasks
    folder: Path | None = None  # for Slurm's and submitit's own files; default: below the job's folder

    @model_validator(mode="after")
    def _debug_is_alone(self) -> "Cluster":
        if len(self.pools) > 1 and any(pool.engine == "debug" for pool in self.pools.values()):
            raise ValueError("pools: a debug pool works alone")
        return self

    @model_validator(mode="after")
    def _spares_the_controller(self) -> "Cluster":
        if self.poll_s < LEAST_POLL_S and any(pool.engine == "slurm" for pool in self.pools.values()):
            raise ValueError(
                f"poll_s {self.poll_s:g} asks Slurm's controller too often; expected {LEAST_POLL_S:g} or more, "
                "15 where others work"
            )
        return self


BUILT_IN = {
    "local": Cluster(pools={"local": LocalPool()}, poll_s=0.1),
    "debug": Cluster(pools={"debug": DebugPool(engine="debug")}, poll_s=0.001),
}


def load_cluster(name: str) -> Cluster:
    """The cluster of that name or in that YAML file. Raises InputError naming what there is."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    expected = f"{', '.join(BUILT_IN)} or a YAML file such as those in configs/clusters/"
    if not name.endswith((".yaml", ".yml")):
        raise InputError(f"--cluster {name}: is not known here, expected {expected}")
    return load_settings(existing_file(Path(name), expected), Cluster)
