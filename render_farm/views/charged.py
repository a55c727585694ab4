"""What Slurm's accounting charged for a folder's jobs: the sum of it, for comparison with the journals."""

import shutil
import subprocess
from collections.abc import Collection

PATIENCE_S = 60.0


def charged_core_hours(jobs: Collection[str]) -> float | None:
    """Core-hours that Slurm charged for these jobs so far; None where accounting does not answer or knows none."""
    if not jobs or shutil.which("sacct") is None:
        return None
    command = ("sacct", "-X", "-n", "-P", "-D", "-j", ",".join(sorted(jobs)), "-o", "JobID,CPUTimeRAW")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    seconds = parse_charged(done.stdout) if done.returncode == 0 else None
    return None if seconds is None else seconds / 3600


def parse_charged(text: str) -> int | None:
    """Core-seconds in the lines `12_3|480` of sacct, a task that was requeued having several; None without a line."""
    told = [line.rpartition("|")[2] for line in text.splitlines()]
    seconds = [int(value) for value in told if value.isdigit()]
    return sum(seconds) if seconds else None
