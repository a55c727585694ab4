"""The only door to submitit: calls become Slurm job arrays."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from render_farm.clusters import SlurmPool
from render_farm.pools.slurm_commands import SlurmError, available
from semforge.errors import InputError

TIMEOUTS = 1000  # a task may run into its time limit so often and be requeued: it goes on where it was


def submit_array(pool: SlurmPool, calls: Sequence[Callable[[], Any]], folder: Path, name: str, **more: Any) -> str:
    """Submit picklable calls as one array (or a plain job if it is one) and return Slurm's job id.

    Call k runs as attempt `f"{id}_{k}"`. `folder` must be seen by the nodes. `more` goes to
    submitit's `update_parameters` over what the pool says. Raises InputError where there is
    no Slurm, SlurmError with Slurm's words if it refuses.
    """
    executor = _executor(pool, folder, name, more)
    with _slurm_errors():
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


def _executor(pool: SlurmPool, folder: Path, name: str, more: dict[str, Any]) -> submitit.SlurmExecutor:
    if not available():
        raise InputError("no Slurm here (squeue is not found); submit from a login node, or use --cluster local")
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=TIMEOUTS, python=pool.python)
    executor.update_parameters(**{**slurm_parameters(pool, name), **more})
    return executor


@contextlib.contextmanager
def _slurm_errors() -> Iterator[None]:
    try:
        yield
    except (FailedSubmissionError, FailedJobError) as error:
        cause = error.__cause__ or error
        raise SlurmError(f"sbatch: {_last_line(cause)}") from error
    except CalledProcessError as error:
        raise SlurmError(f"sbatch: {_last_line(error)}") from error


def _last_line(error: BaseException) -> str:
    text = getattr(error, "stderr", None) or str(error)
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return (text.strip().splitlines() or ["refused"])[-1]


def again(call: Callable[[], Any]) -> Any:
    """What a call's `checkpoint` returns to submitit: the same call, when the job begins again."""
    return submitit.helpers.DelayedSubmission(call)
