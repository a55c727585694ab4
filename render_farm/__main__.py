"""The command line `render-farm`: run, status, verify."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from render_farm.cluster import available_cores, open_pool
from render_farm.farm import ATTEMPTS, run_job
from render_farm.folder import Folder, Job
from render_farm.plan import default_shard_size
from render_farm.progress import Reporter
from render_farm.status import read_status, status_table, verify
from semforge import cli
from semforge.errors import InputError, SemforgeError

app = cli.application("Render a recipe into a verified dataset: parallel, resumable, the same on any machine.")

EXAMPLE = "configs/recipes/slurry_coating.yaml"

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `render-farm run` wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@app.command(epilog=f"Example: render-farm run {EXAMPLE} --count 16 --seed 0 --out runs/coating")
def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe (YAML).")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe, e.g. frame.width_px=256."),
    ] = None,
    *,
    count: Annotated[int, typer.Option(help="Samples in the data set. May grow between runs.")],
    out: Annotated[Path, typer.Option(help="Folder for shards, logs and dataset.h5; an unfinished one is resumed.")],
    seed: Annotated[int, typer.Option(help="Seed of the data set; 0 is a seed like any other.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Shards rendered at a time.", show_default="one a core")] = None,
    shard_size: Annotated[
        int | None, typer.Option(help="Samples a shard, most.", show_default="8, fewer if workers would idle")
    ] = None,
    attempts: Annotated[int, typer.Option(help="How often a failing shard is tried.")] = ATTEMPTS,
    cluster: Annotated[str, typer.Option(help="Where to render.")] = "local",
) -> None:
    """Render COUNT samples of RECIPE into OUT/dataset.h5. The same command again goes on where it stopped."""
    from blender_gen.recipe import load_recipe, recipe_hash, recipe_text

    _at_least(1, count=count, workers=workers, shard_size=shard_size, attempts=attempts)
    _at_least(0, seed=seed)
    loaded = load_recipe(recipe, overrides or ())
    workers = workers or available_cores()
    job = Job(
        recipe=recipe_text(loaded), recipe_hash=recipe_hash(loaded), seed=seed, count=count,
        shard_size=shard_size or default_shard_size(count, workers),
    )  # fmt: skip
    folder, pool = Folder(out), open_pool(cluster, workers)
    with _interruptible(f"{out}: stopped; verified shards are kept, the same command goes on from there"):
        with Reporter(cli.console) as reporter:
            outcome = run_job(folder, job, pool, reporter, attempts)
        pace = f", {outcome.rendered / outcome.seconds:.2f} samples/s" if outcome.rendered else ""
        kept = f" ({outcome.found} were there already)" if outcome.found else ""
        reporter.note(f"{count} samples{kept} in {outcome.seconds:.1f} s{pace} -> {folder.dataset}")


@app.command(epilog="Example: render-farm status runs/coating --json")
def status(
    folder: Directory,
    as_json: AsJson = False,
    deep: Annotated[bool, typer.Option("--deep", help="Recompute sample digests too; reads everything.")] = False,
) -> None:
    """Show what of a job is on disk. Read-only, also while it runs."""
    found = read_status(Folder(folder), deep)
    if as_json:
        typer.echo(found.to_json())
    else:
        cli.console.print(status_table(Folder(folder), found))


@app.command(name="verify", epilog="Example: render-farm verify runs/coating")
def verify_command(folder: Directory, as_json: AsJson = False) -> None:
    """Recompute the digest of every sample in DIR/dataset.h5; exit 1 if any is bad or missing.

    The digest depends on recipe, seed and count only, so two machines can compare theirs.
    """
    found = verify(Folder(folder))
    if as_json:
        typer.echo(found.to_json())
    elif found.passed:
        replaced = f", {found.rejected} draws rejected and replaced" if found.rejected else ""
        typer.echo(f"{found.samples} samples verified{replaced}, digest {found.digest}")
    else:
        for problem in found.problems:
            typer.echo(problem, err=True)
        typer.echo(f"{found.samples} samples verified, {found.bad} bad, {found.missing} missing", err=True)
    if not found.passed:
        raise typer.Exit(cli.EXIT_FAILED)


def main() -> None:
    """Entry point of `render-farm`."""
    cli.run(app, "render-farm")


def _at_least(least: int, **options: int | None) -> None:
    for name, value in options.items():
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: expected {least} or more")


@contextmanager
def _interruptible(message: str) -> Iterator[None]:
    """Let SIGTERM stop the run as Ctrl-C does, and end both with `message` and exit 130; a full disk is one line."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        cli.errors.print(f"render-farm: {message}", markup=False)
        raise typer.Exit(cli.EXIT_INTERRUPTED) from None
    except OSError as error:
        raise SemforgeError(f"{error}; what is on disk is kept, the same command goes on from there") from error
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
