"""The command line `render-farm`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from render_farm.clusters import Cluster, load_cluster
from render_farm.disk.failures import release
from render_farm.disk.folder import Folder, Job
from render_farm.farm import Outcome, merge_job, run_job, submit_job
from render_farm.planning.simulate import load_chances
from render_farm.planning.simulate import simulate as run_simulation
from render_farm.pools import Pool
from render_farm.pools.opening import cancel_all, open_pools
from render_farm.views.progress import Reporter
from render_farm.views.report import read_report, write_report
from render_farm.views.status import read_status, status_table, verify, watch
from render_farm.work.probe import plan_job
from semforge import cli
from semforge.errors import InputError, Interrupted, SemforgeError
from semforge.settings import load_settings

app = cli.application("Render a recipe into a verified dataset: parallel, resumable, the same on any machine.")

EXAMPLE = "configs/recipes/slurry_coating.yaml"
ATTEMPTS = 3
SHARD_SIZE = 128  # samples in a file, most; a checkpoint or the end of a task makes smaller ones

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe (YAML).")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe, e.g. frame.width_px=256.")
]
Count = Annotated[int, typer.Option(help="Samples in the data set. May grow between runs.")]
Out = Annotated[Path, typer.Option(help="Folder for shards, logs and dataset.h5; an unfinished one is resumed.")]
Seed = Annotated[int, typer.Option(help="Seed of the data set; 0 is a seed like any other.")]
ClusterName = Annotated[str, typer.Option(help="Where to render: local, debug, or a YAML file of pools.")]
Workers = Annotated[int | None, typer.Option(help="Tasks at a time in a local pool.", show_default="one a core")]
ShardSize = Annotated[int, typer.Option(help="Samples in a file, most.")]
Attempts = Annotated[int, typer.Option(help="How often a failing sample is tried before it is given up.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `render-farm run` wrote.")]
Recheck = Annotated[
    bool,
    typer.Option("--deep", help="Recompute the digest of every shard first; reads all, bad ones are rendered again."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@app.command(epilog=f"Example: render-farm run {EXAMPLE} --count 16 --seed 0 --out runs/coating")
def run(
    recipe: Recipe,
    overrides: Overrides = None,
    *,
    count: Count,
    out: Out,
    seed: Seed = 0,
    cluster: ClusterName = "local",
    workers: Workers = None,
    shard_size: ShardSize = SHARD_SIZE,
    attempts: Attempts = ATTEMPTS,
    deep: Recheck = False,
) -> None:
    """Render COUNT samples of RECIPE into OUT/dataset.h5. The same command again goes on where it stopped.

    On Slurm, tasks that are queued go on if this command is stopped; run it again to follow them.
    """
    _at_least(1, workers=workers)
    job = _job(recipe, overrides, count, seed, shard_size, attempts)
    _work(Folder(out), job, load_cluster(cluster), workers, deep)


@app.command(epilog=f"Example: render-farm plan {EXAMPLE} --count 1000 --cluster configs/clusters/slurm.yaml")
def plan(
    recipe: Recipe,
    overrides: Overrides = None,
    *,
    count: Count,
    cluster: ClusterName = "local",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the job, if it was begun: what was measured there is used.")
    ] = None,
    seconds_per_sample: Annotated[
        float | None, typer.Option(help="What a sample takes on this machine; otherwise a few are rendered.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what would be handed in: tasks, arrays, and an estimate of time, core- and GPU-hours and energy."""
    job = _job(recipe, overrides, count, 0, SHARD_SIZE, ATTEMPTS)
    if seconds_per_sample is not None and seconds_per_sample <= 0:
        raise InputError(f"--seconds-per-sample {seconds_per_sample}: expected a time over 0")
    found = plan_job(job, load_cluster(cluster), Folder(out) if out else None, seconds_per_sample)
    if as_json:
        typer.echo(found.to_json())
    else:
        cli.console.print(found)


@app.command(epilog="Example: render-farm simulate --cluster configs/clusters/slurm.yaml --count 1000000")
def simulate(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to the chances, e.g. preemptions_per_h=0.")
    ] = None,
    *,
    cluster: ClusterName,
    count: Count,
    chances: Annotated[
        Path | None, typer.Option(help="What goes wrong and how often (YAML).", show_default="built in, and printed")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Run the planner and a model of the queue over a large job; nothing is rendered or handed in."""
    _at_least(1, count=count)
    _at_least(0, seed=seed)
    found = run_simulation(load_cluster(cluster), count, load_chances(chances, overrides or ()), seed)
    if as_json:
        typer.echo(found.to_json())
    else:
        cli.console.print(found)


@app.command(epilog=f"Example: render-farm submit {EXAMPLE} --count 1000 --out runs/big --cluster my_site.yaml")
def submit(
    recipe: Recipe,
    overrides: Overrides = None,
    *,
    count: Count,
    out: Out,
    cluster: ClusterName,
    seed: Seed = 0,
    shard_size: ShardSize = SHARD_SIZE,
    attempts: Attempts = ATTEMPTS,
    probe: Annotated[bool, typer.Option(help="Render a few samples here first, to size the tasks.")] = True,
) -> None:
    """Hand everything that is missing to Slurm and return. Look with `status`, end with `resume` or `merge`."""
    job = _job(recipe, overrides, count, seed, shard_size, attempts)
    _hand_in(Folder(out), job, load_cluster(cluster), probe)


@app.command(epilog="Example: render-farm resume runs/coating")
def resume(
    folder: Directory,
    cluster: Annotated[
        str | None, typer.Option(help="Where to render.", show_default="where it was rendered last")
    ] = None,
    workers: Workers = None,
    attempts: Annotated[
        int | None, typer.Option(help="How often a failing sample is tried.", show_default="as before")
    ] = None,
    retry_quarantined: Annotated[
        bool, typer.Option("--retry-quarantined", help="Try samples again that were given up.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Hand in what is missing and return.")] = False,
    deep: Recheck = False,
) -> None:
    """Go on with what DIR holds: render what is missing, wherever it was lost, and link the data set."""
    _at_least(1, workers=workers, attempts=attempts)
    place = Folder(folder)
    job = place.job()
    if attempts is not None:
        job = job.model_copy(update={"attempts": attempts})
    chosen = load_cluster(cluster) if cluster else _last_cluster(place)
    if retry_quarantined:
        release(place)
    if detach:
        _hand_in(place, job, chosen, probe=True, deep=deep)
    else:
        _work(place, job, chosen, workers, deep)


@app.command(epilog="Example: render-farm cancel runs/coating")
def cancel(folder: Directory) -> None:
    """Stop the run in DIR and take its tasks out of Slurm's queue. What is on disk stays."""
    place = Folder(folder)
    place.job()
    for line in cancel_all(place):
        typer.echo(line)


@app.command(epilog="Example: render-farm status runs/coating --watch")
def status(
    folder: Directory,
    as_json: AsJson = False,
    deep: Annotated[bool, typer.Option("--deep", help="Recompute sample digests too; reads everything.")] = False,
    watching: Annotated[bool, typer.Option("--watch", help="Show it again and again until it ends.")] = False,
) -> None:
    """Show what of a job is on disk, and what is being rendered where. Read-only, also while it runs."""
    place = Folder(folder)
    if watching:
        watch(place, cli.console)
        return
    found = read_status(place, deep)
    if as_json:
        typer.echo(found.to_json())
    else:
        cli.console.print(status_table(place, found))


@app.command(name="verify", epilog="Example: render-farm verify runs/coating --deep")
def verify_command(
    folder: Directory,
    as_json: AsJson = False,
    deep: Annotated[bool, typer.Option("--deep", help="Recompute the digest of every sample; reads all.")] = False,
) -> None:
    """Check that DIR/dataset.h5 holds every sample; exit 1 if any is bad or missing.

    The digest depends on recipe, seed and count only, so two machines can compare theirs.
    """
    found = verify(Folder(folder), deep)
    if as_json:
        typer.echo(found.to_json())
    elif found.passed:
        typer.echo(found.summary)
    else:
        for problem in found.problems:
            typer.echo(problem, err=True)
        typer.echo(found.summary, err=True)
    if not found.passed:
        raise typer.Exit(cli.EXIT_FAILED)


@app.command(epilog="Example: render-farm merge runs/coating")
def merge(folder: Directory) -> None:
    """Link the shards into DIR/dataset.h5, once all samples are there; for jobs that `submit` handed in."""
    place = Folder(folder)
    with _one_line_errors():
        digest = merge_job(place, place.job())
    typer.echo(f"{place.job().count} samples, digest {digest} -> {place.dataset}")


@app.command(epilog="Example: render-farm train configs/train/slurry_unet.yaml --cluster site.yaml --nodes 2 --gpus 4")
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Training settings, YAML, as for sem-train fit.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings to change, e.g. training.steps=200.")
    ] = None,
    *,
    cluster: Annotated[str, typer.Option(help="YAML file of pools.")],
    pool: Annotated[str | None, typer.Option(help="Which of them.", show_default="the only one that fits")] = None,
    nodes: Annotated[int, typer.Option(help="Nodes.")] = 1,
    gpus: Annotated[int | None, typer.Option(help="GPUs of a node.", show_default="those of the pool")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Hand in and return.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the batch script, hand in nothing.")] = False,
) -> None:
    """Train a model in one Slurm job of many processes, and follow it. The same command again goes on or follows.

    One process a GPU, or one a node where the pool has none. The job is requeued from its last checkpoint.
    """
    from render_farm.training import plan_training

    place = load_cluster(cluster)
    job = plan_training(config, overrides or (), place, pool, nodes, gpus)
    out = job.run.out
    if dry_run:
        typer.echo(job.script())
        return
    if job.run.state == "finished":
        typer.echo(f"{out} was finished before")
        return
    there = job.running()
    number = there or job.submit()
    hints = f"follow it with tail -f {job.log(number)}, cancel it with scancel {number}"
    handed = "is in the queue already" if there else f"handed in, processes: {job.layout.processes}"
    cli.errors.print(f"render-farm: {out}: job {number} {handed}; {hints}", markup=False)
    if not detach:
        with _interruptible(f"{out}: job {number} goes on; {hints}"):
            job.follow(number, place.poll_s, lambda text: typer.echo(text, nl=False))
        typer.echo(f"{out} is finished")


@app.command(epilog="Example: render-farm compare configs/experiments/ebc.yaml --cluster site.yaml --pool gpu")
def compare(
    experiment: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT", help="Experiment settings, YAML, as for sem-train compare.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings to change, e.g. seeds=[0,1,2].")
    ] = None,
    *,
    cluster: Annotated[str, typer.Option(help="Where to train: local, debug, or a YAML file of pools.")],
    pool: Annotated[str | None, typer.Option(help="Which of them.", show_default="the only one that fits")] = None,
    gpus: Annotated[
        int | None, typer.Option(help="GPUs of a job; 0: train on CPUs.", show_default="those of the pool")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option(help="Jobs at a time, most.", show_default="as the pool says; here one a GPU or core")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Hand in and return.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the batch script, hand in nothing.")] = False,
) -> None:
    """Run an experiment of sem-train, many trainings at a time, and report it. The same command again goes on."""
    from render_farm.experiments.choice import choose_pool
    from render_farm.experiments.on_slurm import Arrays
    from render_farm.experiments.plan import read_experiment
    from render_farm.experiments.run import hand_in, place_experiment, run_all, script

    _at_least(1, parallel=parallel)
    _at_least(0, gpus=gpus)
    chosen = load_cluster(cluster)
    name = choose_pool(chosen, pool, gpus)
    planned = read_experiment(experiment, overrides or ())
    place = place_experiment(planned, chosen, name, gpus, parallel)
    say = partial(cli.errors.print, markup=False)
    if dry_run:
        typer.echo(script(place))
        return
    if not planned.missing():
        planned.report()
        return
    queued = isinstance(place, Arrays)
    goes_on = "jobs in Slurm's queue go on, " if queued else "what was trained is kept, "
    with _interruptible(f"{planned.out}: stopped; {goes_on}the same command goes on from there"):
        if detach:
            hand_in(place, say)
            return
        run_all(place, chosen.poll_s, cli.errors, say)
    planned.report()


@app.command(epilog="Example: render-farm report data/big --out report.html")
def report(
    folder: Directory,
    out: Annotated[
        Path | None, typer.Option(help="Write it: .html with a picture of tasks on nodes, .png that alone, .json.")
    ] = None,
    reference_s: Annotated[
        float | None,
        typer.Option(help="Seconds a sample of one local process, for the speed-up.", show_default="as measured"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what the samples in DIR took: by pool, wall time, speed-up, efficiency, retries, lost time, energy."""
    place = Folder(folder)
    found = write_report(place, out, reference_s) if out else read_report(place, reference_s)
    if as_json:
        typer.echo(found.to_json())
    else:
        cli.console.print(found)
        if out:
            typer.echo(f"-> {out}")


def main() -> None:
    """Entry point of `render-farm`."""
    cli.run(app, "render-farm")


def _job(recipe: Path, overrides: list[str] | None, count: int, seed: int, shard_size: int, attempts: int) -> Job:
    from blender_gen.recipe import load_recipe, recipe_hash, recipe_text

    _at_least(1, count=count, shard_size=shard_size, attempts=attempts)
    _at_least(0, seed=seed)
    loaded = load_recipe(recipe, overrides or ())
    return Job(
        recipe=recipe_text(loaded), recipe_hash=recipe_hash(loaded), seed=seed, count=count, shard_size=shard_size,
        attempts=attempts,
    )  # fmt: skip


def _at_least(least: int, **options: int | None) -> None:
    for name, value in options.items():
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: expected {least} or more")


def _work(folder: Folder, job: Job, cluster: Cluster, workers: int | None, deep: bool) -> None:
    """Render what is missing, wait for it, and say what was done."""
    goes_on = "tasks in Slurm's queue go on, " if _uses_slurm(cluster) else "verified shards are kept, "
    with _interruptible(f"{folder.root}: stopped; {goes_on}the same command goes on from there"):
        opener = _opener(folder, cluster, workers)
        with Reporter(cli.console) as reporter:
            outcome = run_job(folder, job, cluster, opener, reporter, deep)
            reporter.note(_said(folder, job, outcome))


def _hand_in(folder: Folder, job: Job, cluster: Cluster, probe: bool, deep: bool = False) -> None:
    if not _uses_slurm(cluster):
        raise InputError("--cluster: no pool of this cluster outlives the command; use `render-farm run`")
    with _interruptible(f"{folder.root}: stopped"), Reporter(cli.console) as reporter:
        tasks = submit_job(folder, job, cluster, _opener(folder, cluster), reporter, with_probe=probe, deep=deep)
        handed = ", ".join(f"{count} tasks to pool {pool}" for pool, count in tasks.items() if count)
        reporter.note(
            f"handed in {handed}; look with: render-farm status {folder.root}"
            if handed
            else f"nothing to hand in: all that is missing is queued or on disk; render-farm merge {folder.root}"
        )


def _opener(folder: Folder, cluster: Cluster, workers: int | None = None) -> "partial[list[Pool]]":
    return partial(open_pools, cluster, folder, workers)


def _said(folder: Folder, job: Job, outcome: Outcome) -> str:
    pace = f", {outcome.rendered / outcome.seconds:.2f} samples/s" if outcome.rendered else ""
    kept = f" ({outcome.found} were there already)" if outcome.found else ""
    return f"{job.count} samples{kept} in {outcome.seconds:.1f} s{pace} -> {folder.dataset}"


def _uses_slurm(cluster: Cluster) -> bool:
    return any(pool.engine == "slurm" for pool in cluster.pools.values())


def _last_cluster(folder: Folder) -> Cluster:
    return load_settings(folder.cluster_file, Cluster) if folder.cluster_file.exists() else load_cluster("local")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A full disk and the like is one line."""
    try:
        yield
    except OSError as error:
        raise SemforgeError(f"{error}; what is on disk is kept, the same command goes on from there") from error


@contextmanager
def _interruptible(message: str) -> Iterator[None]:
    """Let SIGTERM stop the run as Ctrl-C does, and end both with `message` and exit 130."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with _one_line_errors():
            yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
