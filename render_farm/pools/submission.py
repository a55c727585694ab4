"""The only door to submitit: calls become Slurm job arrays."""

import contextlib
import io
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from render_farm.clusters import SlurmPool
from render_farm.pools import slurm_commands as slurm
from render_farm.pools.slurm_commands import SlurmError, available
from semforge.errors import InputError, SemforgeError

TIMEOUTS = 1000  # a task may run into its time limit so often and be requeued: it goes on where it was


def submit_array(
    pool: SlurmPool, calls: Sequence[Callable[[], Any]], folder: Path, name: str, *, pool_name: str = "", **more: Any
) -> str:
    """Submit picklable calls as one array (or a plain job if it is one) and return Slurm's job id.

    Call k runs as attempt `f"{id}_{k}"`. `folder` must be seen by the nodes. `more` goes to
    submitit's `update_parameters` over what the pool says. Raises InputError where there is
    no Slurm and where Slurm refuses what the pool's settings say, SlurmError with Slurm's words
    if it refuses for another reason, which may pass.
    """
    executor = _executor(pool, folder, name, more)
    with _login_environment(), _slurm_errors(pool, pool_name, more):
        if len(calls) == 1:
            return executor.submit(calls[0]).job_id
        with executor.batch():  # map_array would hide that the calls can be checkpointed
            jobs = [executor.submit(call) for call in calls]
        return jobs[0].job_id.partition("_")[0]


def batch_script(pool: SlurmPool, folder: Path, name: str, tasks: int, **more: Any) -> str:
    """The batch script that `submit_array` would hand to sbatch for so many tasks."""
    executor = _executor(pool, folder, name, more)
    if tasks > 1:
        executor.parameters["map_count"] = tasks
    return executor._make_submission_file_text(executor._submitit_command_str, "0")


def slurm_parameters(pool: SlurmPool, name: str) -> dict[str, Any]:
    """What a pool asks of sbatch, in submitit's words."""
    asked = {
        "job_name": name, "partition": pool.partition, "account": pool.account, "qos": pool.qos,
        "constraint": pool.constraint, "gres": pool.gres, "cpus_per_task": pool.cpus,
        "mem": f"{round(pool.memory_gb * 1024)}M", "time": pool.time_min, "signal_delay_s": pool.grace_s,
        # Since 22.05 srun does not take this over from sbatch, and binds the task to a single core.
        "srun_args": [f"--cpus-per-task={pool.cpus}"],
        "setup": list(pool.setup), "array_parallelism": pool.parallel, "nodes": 1, "ntasks_per_node": 1,
        # Without `requeue` a site whose default is JobRequeue=0 would drop a preempted task.
        "additional_parameters": {"requeue": True, **pool.additional},
    }  # fmt: skip
    return {key: value for key, value in asked.items() if value is not None}


@contextlib.contextmanager
def _login_environment() -> Iterator[None]:
    """Without what a Slurm job leaves in its environment: handed in from within one, tasks would inherit its sizes."""
    place = os.environ.get("SLURM_CONF")
    with submitit.helpers.clean_env():
        if place is not None:
            os.environ["SLURM_CONF"] = place
        yield


def _executor(pool: SlurmPool, folder: Path, name: str, more: dict[str, Any]) -> submitit.SlurmExecutor:
    if not available():
        raise InputError("no Slurm here (squeue is not found); submit from a login node, or use --cluster local")
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=TIMEOUTS, python=pool.python)
    executor.update_parameters(**{**slurm_parameters(pool, name), **more})
    return executor


def check_pools(pools: Mapping[str, SlurmPool], folder: Path, name: str) -> None:
    """Ask sbatch whether it would take a task of each pool. Raises InputError if a pool's settings are the reason not.

    `folder` and `name` as for `submit_array`. Hands in nothing, one `sbatch --test-only` a pool.
    """
    for pool_name, pool in pools.items():
        text = slurm.objections(batch_script(pool, folder, name, 1))
        found = refusal(text, pool, pool_name)
        # Asked like this Slurm says so too of nodes that are down or drained only now; a task would wait for them.
        sure = UNAVAILABLE not in text or slurm.all_nodes_up(pool.partition)
        if text and sure and isinstance(found, InputError):
            raise found


UNAVAILABLE = "Requested node configuration is not available"
# What sbatch says where the settings are the reason, and which of them.
FAULTS = (
    (r"partition (name )?specified|permitted to use this partition", ("partition",)),
    (r"invalid account", ("account", "partition")),
    (r"invalid qos", ("qos",)),
    (r"\bgres\b", ("gres",)),
    (r"invalid feature", ("constraint",)),
    (r"memory (specification|required)", ("memory_gb",)),
    (r"cpu count|more processors requested", ("cpus",)),
    (r"time limit is invalid|--time", ("time_min",)),
    (UNAVAILABLE, ("partition", "gres", "constraint", "cpus", "memory_gb")),
    (r"unrecognized option|requires an argument|invalid --|invalid \w+ specification|reservation is invalid|"
     r"access denied to requested reservation|invalid (node name|license)", ("additional",)),
)  # fmt: skip


def refusal(text: str, pool: SlurmPool, pool_name: str = "") -> SemforgeError:
    """The error to raise when sbatch says `text`: one line with the settings that it is about.

    InputError where they are the reason; else SlurmError, the same may be taken later.
    """
    line, where = slurm.telling_line(text), f"pool {pool_name}: " if pool_name else ""
    for said, keys in FAULTS:
        if re.search(said, line, re.IGNORECASE):
            asked = {key: value for key in keys if (value := getattr(pool, key))}
            shown = ", ".join(f"{key}: {value:g}" if isinstance(value, float) else f"{key}: {value}"
                              for key, value in asked.items())  # fmt: skip
            return InputError(f"{where}sbatch refused: {line}" + (f" ({shown})" if shown else ""))
    return SlurmError(f"{where}sbatch refused: {line}")


@contextlib.contextmanager
def _slurm_errors(pool: SlurmPool, pool_name: str, more: Mapping[str, Any]) -> Iterator[None]:
    try:
        # submitit prints what sbatch says, and the error says it again.
        with _ONE_AT_A_TIME, contextlib.redirect_stderr(io.StringIO()):
            yield
    except (FailedSubmissionError, FailedJobError, CalledProcessError) as error:
        found = refusal(_words(error), pool, pool_name)
        if more.get("exclude") and isinstance(found, InputError):
            # It may be the nodes to avoid, which no setting names, that leave none.
            found = SlurmError(f"{found}, without the nodes {more['exclude']}")
        raise found from error


_ONE_AT_A_TIME = threading.Lock()  # standard error is the whole process's


def _words(error: BaseException) -> str:
    """What sbatch said: submitit keeps it with the cause of its own error."""
    cause = error.__cause__ or error
    text = getattr(cause, "stderr", None) or str(cause)
    return text.decode(errors="replace") if isinstance(text, bytes) else text


def again(call: Callable[[], Any]) -> Any:
    """What a call's `checkpoint` returns to submitit: the same call, when the job begins again."""
    return submitit.helpers.DelayedSubmission(call)
