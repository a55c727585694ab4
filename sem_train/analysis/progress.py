"""What the terminal shows while images are analysed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sem_train.analysis.record import Failure
from sem_train.analysis.runner import Outcome


@contextmanager
def progress_of(console: Console, images: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar that is told of each outcome; one that is no terminal gets nothing but the failures, at the end."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("analyse", total=images)
        failed = 0

        def told(outcome: Outcome) -> None:
            nonlocal failed
            failed += isinstance(outcome.result, Failure)
            so_far = f", {failed} failed" if failed else ""
            bar.update(task, advance=1, description=f"{outcome.job.name}{so_far}")

        yield told
