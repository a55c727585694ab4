"""How far an experiment is: a bar on a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 30.0


class JobReporter:
    """Shows jobs done, at work and waiting. Use as a context manager."""

    def __init__(self, console: Console, total: int, done: int):
        self._console, self._total, self._done = console, total, done
        self._bar = Progress(
            TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rest]}"),
            TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total, completed=done, rest="")
        self._said, self._last_line = "", -LINE_EVERY_S

    def __enter__(self) -> "JobReporter":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, ended: int, running: int, waiting: int) -> None:
        """Of the jobs that this call is about so many have ended, are at work and wait."""
        done = self._done + ended
        rest = f"{running} running, {waiting} waiting"
        self._bar.update(self._task, completed=done, rest=rest)
        line, now = f"{done} of {self._total} jobs ended, {rest}", time.monotonic()
        if not self._console.is_terminal and line != self._said and now - self._last_line >= LINE_EVERY_S:
            self._said, self._last_line = line, now
            self.note(line)

    def note(self, text: str) -> None:
        """Say something on a line of its own."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
