"""The real renderer process around a maker without Blender. The first argument is JSON that says how to misbehave:

pause_s: time a sample takes, or by Slurm's partition, {"cpu": 1.0, "gpu": 0.1}; at: the index where to misbehave;
how: kill, crash, refuse or hang; once: a file that is made at the first misbehaviour and prevents the next;
unfit: what is wrong with the machine; unfit_on: with the node of this name only.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from farm_fakes import make_header, make_sample

from blender_gen.sample import Sample
from render_farm.disk.folder import Job
from render_farm.work.renderer import Maker, main
from semforge.errors import DeviceAbsent, InputError

behaviour = json.loads(sys.argv.pop(1))


def misbehave(how: str) -> None:
    """Fail in one of the ways a renderer can."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "refuse":
        raise InputError("no such detector")
    if how == "hang":
        time.sleep(3600)
    raise RuntimeError("scene fell apart")


def fake_maker(job: Job, device: str, threads: int) -> Maker:
    """Samples of random numbers."""
    here = os.environ.get("SLURMD_NODENAME")
    if "unfit" in behaviour and here == behaviour.get("unfit_on", here):
        raise DeviceAbsent(behaviour["unfit"])

    pause_s = behaviour.get("pause_s", 0)
    if isinstance(pause_s, dict):
        pause_s = pause_s[os.environ["SLURM_JOB_PARTITION"]]

    def sample(index: int) -> Sample:
        os.write(1, b"Fra:1 noise that a C library prints\n")
        time.sleep(pause_s)
        once = behaviour.get("once")
        if index == behaviour.get("at") and not (once and Path(once).exists()):
            if once:
                Path(once).touch()
            misbehave(behaviour["how"])
        return make_sample(job, index)

    return Maker(sample, lambda: make_header(job))


if __name__ == "__main__":
    main(fake_maker)
