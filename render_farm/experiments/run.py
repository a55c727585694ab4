"""An experiment from its settings to its report: its jobs handed in or run here, followed, and told of."""

from collections.abc import Callable

from rich.console import Console

from render_farm.clusters import Cluster, SlurmPool
from render_farm.experiments.here import Processes, gpus_here, share_machine
from render_farm.experiments.on_slurm import Arrays, in_slurm
from render_farm.experiments.plan import Experiment, failed
from render_farm.experiments.progress import JobReporter
from render_farm.pools.opening import available_cores
from semforge.errors import InputError, SemforgeError

Place = Arrays | Processes


def place_experiment(
    experiment: Experiment, cluster: Cluster, name: str, gpus: int | None, parallel: int | None
) -> Place:
    """Where an experiment runs, by a pool's name. Raises InputError if the pool cannot do what is asked."""
    pool = cluster.pools[name]
    if isinstance(pool, SlurmPool):
        return in_slurm(experiment, cluster, name, gpus, parallel)
    slots = share_machine(pool, gpus, parallel, gpus_here(), available_cores())
    return Processes(experiment, slots, experiment.out / "logs", echo=pool.engine == "debug")


def hand_in(place: Place, say: Callable[[str], None]) -> None:
    """Hand in what is missing and return. Raises InputError where jobs would end with this process."""
    if isinstance(place, Processes):
        raise InputError("--detach: jobs on this machine do not outlive the command; choose a Slurm pool")
    alive, new = place.hand_in()
    say(_handed(place, len(alive), len(new)))


def run_all(place: Place, poll_s: float, console: Console, say: Callable[[str], None]) -> None:
    """Run or hand in what is missing, and wait for it.

    Raises SemforgeError if jobs are not finished then, after a line on each, and KeyboardInterrupt when stopped.
    """
    before = place.experiment
    missing = len(before.missing())
    with JobReporter(console, len(before.jobs), len(before.jobs) - missing) as reporter:
        if isinstance(place, Arrays):
            alive, new = place.hand_in()
            say(_handed(place, len(alive), len(new)))
            reasons = place.follow([*alive, *new], poll_s, reporter)
        else:
            say(f"{before.out}: {missing} of {len(before.jobs)} jobs to run, {place.slots.count} at a time; "
                f"logs in {place.files}")  # fmt: skip
            reasons = place.run(reporter)
    lines = failed(before.again(), reasons)
    for line in lines[:-1]:
        say(line)
    if lines:
        rest = (
            f"{len(lines)} of {len(before.jobs)} jobs are not finished" if len(lines) > 1 else "1 job is not finished"
        )
        raise SemforgeError(f"{lines[-1]}; {rest}, the same command goes on with them; logs in {place.files}")


def script(place: Place) -> str:
    """The batch script of what would be handed in. Raises InputError where nothing would be."""
    if isinstance(place, Processes):
        raise InputError(
            "--dry-run: jobs on this machine have no batch script; see sem-train compare EXPERIMENT --plan"
        )
    if not place.experiment.missing():
        raise InputError(f"--dry-run: all jobs of {place.experiment.out} are finished, nothing would be handed in")
    return place.script()


def _handed(place: Arrays, alive: int, new: int) -> str:
    parts = [f"{new} jobs handed in to pool {place.pool_name}"] if new else []
    parts += [f"{alive} are in the queue already"] if alive else []
    said = ", ".join(parts) or "nothing to hand in"
    name = place.experiment.queue_name
    return f"{place.experiment.out}: {said}; logs in {place.files}, cancel them with scancel --name {name}"
