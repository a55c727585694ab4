"""What a run says while it works: a bar on a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0


class Reporter:
    """Shows samples done out of all, samples a second and the time left. Use as a context manager."""

    def __init__(self, console: Console):
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, rate="")
        self._what, self._first, self._total = "", 0, 0
        self._began = self._last_line = 0.0

    def __enter__(self) -> "Reporter":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def verifying(self, total: int) -> None:
        """Checking `total` samples that are on disk already begins."""
        self._begin("verifying", 0, total)

    def rendering(self, done: int, total: int) -> None:
        """Rendering begins, with `done` of `total` samples on disk already."""
        self._begin("rendering", done, total)

    def show(self, done: int) -> None:
        """So many samples are done now."""
        now = time.monotonic()
        rate = (done - self._first) / max(now - self._began, 1e-9)
        self._bar.update(self._task, completed=done, rate=f"{rate:.2f} samples/s")
        if not self._console.is_terminal and now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self.note(f"{self._what}: {done} of {self._total} samples, {rate:.2f} samples/s")

    def note(self, text: str) -> None:
        """Say something on a line of its own."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _begin(self, what: str, first: int, total: int) -> None:
        self._what, self._first, self._total = what, first, total
        self._began = self._last_line = time.monotonic()
        self._bar.reset(self._task, description=what, completed=first, total=total, rate="")
