"""Stands in for sem-train: `compare` with jobs that only count, as settings of the test say.

Run as a module named sem_train (see `install`), by the farm here or on a node. A job counts its steps to a file, stops
at a signal with what it has counted, and goes on from there.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from semforge.settings import parse_yaml


def install(folder: Path) -> Path:
    """A folder for PYTHONPATH in which `sem_train` is this file."""
    package = folder / "sem_train"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(__file__, package / "__main__.py")
    return folder


def counted(out: Path, name: str) -> list[int]:
    """Every step that a job made, in the order in which it made them."""
    path = out / f"{name}.steps"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def started(out: Path, name: str) -> list[dict[str, str]]:
    """The environment of each start of a job."""
    path = out / f"{name}.starts"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    command, path, *words = sys.argv[1:]
    assert command == "compare", sys.argv
    overrides = [word for word in words if "=" in word]
    settings = parse_yaml(Path(path).read_text(), path, overrides)
    out = Path(settings["out"])
    jobs = {job["name"]: {"needs": None, "steps": 2, **job} for job in settings["jobs"]}
    if "typo" in settings:
        print(f"sem-train: {path}: typo: unknown key", file=sys.stderr)
        return 2
    if "--plan" in words:
        rows = [{"name": name, "needs": job["needs"], "steps": job["steps"], "state": state(out, job),
                 "kind": job.get("kind", "cell")} for name, job in jobs.items()]  # fmt: skip
        print(json.dumps({"out": str(out), "jobs": rows}))
        return 0
    if "--report" in words:
        assert all(state(out, job) == "finished" for job in jobs.values())
        print(f"report of {settings['name']}: {sum(len(counted(out, name)) for name in jobs)} steps")
        return 0
    return run(out, jobs[words[words.index("--job") + 1]])


def state(out: Path, job: dict) -> str:
    done = len(counted(out, job["name"]))
    return "finished" if done >= job["steps"] else "unfinished" if done else "new"


def run(out: Path, job: dict) -> int:
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
        signal.signal(number, lambda came, frame: told.append(came))
    out.mkdir(parents=True, exist_ok=True)
    kept = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "SLURM_RESTART_COUNT")
    about = {key: os.environ[key] for key in kept if key in os.environ}
    with (out / f"{job['name']}.starts").open("a") as file:
        file.write(json.dumps({**about, "t": time.time()}) + "\n")
    if job["needs"] and not (out / f"{job['needs']}.done").exists():
        print(f"sem-train: {job['needs']} is not finished", file=sys.stderr)
        return 3
    while (done := len(counted(out, job["name"]))) < job["steps"]:
        if job.get("fails") and not (out / "repaired").exists():
            print("Traceback (most recent call last):\nsem-train: i3.png: is not a picture", file=sys.stderr)
            return 2
        if (out / "gate").exists():  # a test holds all jobs after their first step
            while done and (out / "gate").exists() and not told:
                time.sleep(0.05)
        if told:
            return 130
        with (out / f"{job['name']}.steps").open("a") as file:
            file.write(f"{done + 1}\n")
        time.sleep(job.get("pause_s", 0.01))
    (out / f"{job['name']}.done").write_text(repr(time.time()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
