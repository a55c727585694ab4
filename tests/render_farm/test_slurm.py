"""How Slurm's answers read, and what it is asked for; without a Slurm."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from farm_fakes import make_job
from hypothesis import given
from hypothesis import strategies as st

from render_farm.clusters import LocalPool, SlurmPool
from render_farm.disk.folder import Folder
from render_farm.planning.plan import Task
from render_farm.pools import slurm_commands
from render_farm.pools.opening import cancel_all, cancel_strays, sample_timeout_s
from render_farm.pools.slurm import blame
from render_farm.pools.slurm_commands import (
    ENDED,
    QueuedTask,
    SlurmError,
    index_ranges,
    parse_array_limit,
    parse_endings,
    parse_queue,
    queue,
    read_queue,
    telling_line,
)
from render_farm.pools.submission import check_pools, refusal, slurm_parameters, submit_array
from render_farm.pools.submissions import record_submission
from semforge.errors import InputError

# As squeue -h -r -t all -o '%F|%K|%T|%N|%r' of Slurm 22.05 printed it.
QUEUE = """\
12|3|RUNNING|n1|None
12|4|PENDING||Resources
12|5|COMPLETED|n2|None
13|N/A|NODE_FAIL|n[3-4]|None
14|0|PENDING||Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions
15|7|COMPLETING|n2|None
16|1|PENDING||launch failed requeued held
16|2|PENDING||JobHeldUser
"""


def test_queue_is_read_by_attempt() -> None:
    tasks = parse_queue(QUEUE)
    assert tasks["12_3"] == QueuedTask("RUNNING", "n1", "None")
    assert tasks["13_0"].node == "n[3-4]"
    assert [attempt for attempt, task in tasks.items() if task.alive] == [
        "12_3",
        "12_4",
        "14_0",
        "15_7",
        "16_1",
        "16_2",
    ]
    assert [attempt for attempt, task in tasks.items() if task.waits] == ["12_4", "14_0", "16_1", "16_2"]
    assert [attempt for attempt, task in tasks.items() if task.stuck] == ["16_1"]  # a user's own hold is heeded
    assert parse_queue("") == {}


@given(st.dictionaries(st.tuples(st.integers(1, 10**7), st.integers(0, 10**4)), st.sampled_from(["RUNNING", *ENDED])))
def test_every_line_of_the_queue_is_one_attempt(states: dict[tuple[int, int], str]) -> None:
    text = "".join(f"{job}|{index}|{state}|n1|why | not\n" for (job, index), state in states.items())
    assert {attempt: task.state for attempt, task in parse_queue(text).items()} == {
        f"{job}_{index}": state for (job, index), state in states.items()
    }


def test_endings_are_read_by_attempt() -> None:
    text = (
        "12_3|CANCELLED by 0|n3\n12_[4-9]|CANCELLED by 0|None assigned\n"
        "13|OUT_OF_MEMORY|n1\n14_0|PENDING|None assigned\n"
    )
    assert parse_endings(text) == {"12_3": "CANCELLED by 0 on n3", "13_0": "OUT_OF_MEMORY on n1", "14_0": "PENDING"}


@given(st.sets(st.integers(0, 1000), min_size=1))
def test_ranges_name_every_index_once(indices: set[int]) -> None:
    named: list[int] = []
    for part in index_ranges(indices).split(","):
        first, _, last = part.partition("-")
        named.extend(range(int(first), int(last or first) + 1))
    assert named == sorted(indices)


def test_an_array_may_have_one_task_less_than_the_limit() -> None:
    assert parse_array_limit("MailProg = /bin/mail\nMaxArraySize            = 40\n") == 39
    assert parse_array_limit("nothing of the kind") == 1000


def test_a_task_is_blamed_on_whom_it_should_be() -> None:
    assert blame("NODE_FAIL on n1") == "node"
    assert blame(QueuedTask("FAILED", "n1", "JobLaunchFailure").ending) == "nobody"
    assert QueuedTask("NODE_FAIL", "n1", "None").ending == "NODE_FAIL on n1"
    assert blame("OUT_OF_MEMORY on n1") == blame("FAILED on n1") == "sample"
    assert {blame(state) for state in ("CANCELLED by 0", "PREEMPTED on n1", "TIMEOUT on n1", "COMPLETED")} == {"nobody"}


def test_sbatch_is_asked_for_what_the_pool_says() -> None:
    pool = SlurmPool(
        engine="slurm", partition="gpu", account="coatings", qos="low", constraint="a100", gres="gpu:2", cpus=6,
        memory_gb=1.5, time_min=30, parallel=7, setup=("module load python",), additional={"reservation": "week"},
        minutes_per_task=5, grace_s=45,
    )  # fmt: skip
    asked = slurm_parameters(pool, "semforge-x")
    expected = {
        "job_name": "semforge-x", "partition": "gpu", "account": "coatings", "qos": "low", "constraint": "a100",
        "gres": "gpu:2", "cpus_per_task": 6, "mem": "1536M", "time": 30, "array_parallelism": 7, "signal_delay_s": 45,
        "setup": ["module load python"], "srun_args": ["--cpus-per-task=6"],
    }  # fmt: skip
    assert expected.items() <= asked.items()
    assert asked["additional_parameters"] == {"requeue": True, "reservation": "week"}
    assert "account" not in slurm_parameters(SlurmPool(engine="slurm"), "semforge-x")


def test_a_silent_renderer_is_killed_before_the_time_limit_ends_its_task() -> None:
    # Twice the silence, of a start-up and of the first sample, is over when Slurm warns of the limit.
    assert sample_timeout_s(SlurmPool(engine="slurm", time_min=20, grace_s=90)) == (20 * 60 - 90) / 2
    assert sample_timeout_s(SlurmPool(engine="slurm", time_min=120)) == 30 * 60
    assert sample_timeout_s(SlurmPool(engine="slurm", time_min=120, sample_timeout_min=50)) == 50 * 60
    assert sample_timeout_s(LocalPool()) == sample_timeout_s(LocalPool(sample_timeout_min=30)) == 30 * 60


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a shell script where a command of Slurm's would be found."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")

    def put(name: str, script: str) -> None:
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)

    return put


UNREACHABLE = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Of a job that two tasks were handed in for."""
    folder = Folder(tmp_path / "out")
    folder.begin(make_job())
    record_submission(folder, "cpu", "slurm", "12", [Task.of(range(4)), Task.of(range(4, 8))])
    return folder


def test_cancel_does_nothing_while_the_queue_cannot_be_asked(
    folder: Folder, command: Callable[[str, str], None]
) -> None:
    command("squeue", UNREACHABLE)
    with pytest.raises(SlurmError) as caught:
        cancel_all(folder)
    reason = "squeue: slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    assert str(caught.value) == f"Slurm's queue cannot be asked ({reason}), nothing was cancelled"
    assert not folder.cancel_mark.exists()
    with pytest.raises(SlurmError, match="connect failure"):
        cancel_strays(folder, ["cpu"])
    assert queue(folder.queue_name) is None


def test_a_folder_that_never_met_slurm_can_be_cancelled_without_it(
    tmp_path: Path, command: Callable[[str, str], None]
) -> None:
    command("squeue", UNREACHABLE)
    folder = Folder(tmp_path / "local")
    folder.begin(make_job())
    assert cancel_all(folder) == ["nothing is at work here"]
    assert cancel_strays(folder, ["local"]) == 0


def test_cancel_takes_out_what_is_alive(folder: Folder, tmp_path: Path, command: Callable[[str, str], None]) -> None:
    tasks = "printf '12|0|RUNNING|n1|None\\n12|1|COMPLETED|n1|None\\n13|N/A|PENDING||Priority\\n'"
    numbers = 'case "$*" in *"-j 12"*) printf "0\\n1\\n";; *) echo N/A;; esac'  # 12 is an array, 13 is none
    command("squeue", f'case "$*" in *" %K") {numbers};; *) {tasks};; esac')
    command("scancel", f'echo "$@" >> {tmp_path}/cancelled')
    assert cancel_strays(folder, ["cpu"]) == 1
    assert cancel_all(folder) == ["2 tasks cancelled in Slurm's queue"]
    assert (tmp_path / "cancelled").read_text() == "--quiet 13\n--quiet 12_[0] 13\n"


def test_a_silent_controller_is_not_waited_for_longer_than_patience(
    command: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    command("squeue", "exec sleep 30")
    monkeypatch.setattr(slurm_commands, "PATIENCE_S", 0.2)
    began = time.monotonic()
    with pytest.raises(SlurmError, match=r"squeue: no answer from Slurm's controller in 0.2 s"):
        read_queue("semforge-x")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("text", "line"),
    [  # as Slurm 22.05 printed them
        (
            "sbatch: error: Memory specification can not be satisfied\n"
            "sbatch: error: Batch job submission failed: Requested node configuration is not available\n",
            "Memory specification can not be satisfied",
        ),
        (
            "sbatch: error: Batch job submission failed: Requested node configuration is not available",
            "Requested node configuration is not available",
        ),
        ("allocation failure: Invalid feature specification", "Invalid feature specification"),
        (
            "sbatch: error: invalid partition specified: nope\nallocation failure: Invalid partition name specified",
            "invalid partition specified: nope",
        ),
        (
            "sbatch: unrecognized option '--bad=1'\nTry \"sbatch --help\" for more information\n",
            "unrecognized option '--bad=1'",
        ),
        ("", "no reason given"),
    ],
)
def test_of_many_words_the_telling_ones_are_kept(text: str, line: str) -> None:
    assert telling_line(text) == line


GPUS = SlurmPool(engine="slurm", partition="gpu", gres="gpu:7", account="coatings", additional={"reservation": "x"})
NOT_AVAILABLE = "Requested node configuration is not available"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sbatch: error: Invalid generic resource (gres) specification",
            "pool gpu: sbatch refused: Invalid generic resource (gres) specification (gres: gpu:7)",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
            "pool gpu: sbatch refused: Invalid account or account/partition combination specified "
            "(account: coatings, partition: gpu)",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid qos specification",
            "pool gpu: sbatch refused: Invalid qos specification",
        ),
        (
            f"sbatch: error: Batch job submission failed: {NOT_AVAILABLE}",
            f"pool gpu: sbatch refused: {NOT_AVAILABLE} (partition: gpu, gres: gpu:7, cpus: 2, memory_gb: 4)",
        ),
        (
            "sbatch: error: Batch job submission failed: Requested reservation is invalid",
            "pool gpu: sbatch refused: Requested reservation is invalid (additional: {'reservation': 'x'})",
        ),
    ],
)
def test_a_refusal_for_the_settings_names_pool_and_key(text: str, message: str) -> None:
    found = refusal(text, GPUS, "gpu")
    assert isinstance(found, InputError) and str(found) == message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy (job submit limit, user's size and/or time limits)",
            "QOSMaxSubmitJobPerUserLimit",
        ),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            "Unable to contact slurm controller (connect failure)",
        ),
    ],
)
def test_a_refusal_that_may_pass_can_be_tried_again(text: str, said: str) -> None:
    found = refusal(text, GPUS, "gpu")
    assert isinstance(found, SlurmError) and str(found) == f"pool gpu: sbatch refused: {said}"


def test_pools_are_checked_before_anything_is_handed_in(tmp_path: Path, command: Callable[[str, str], None]) -> None:
    command("squeue", "")
    command("sinfo", "printf 'up|idle\\nup|mixed\\n'")
    command("sbatch", f'[ "$1" = --test-only ] && cat >> {tmp_path}/asked; echo "sbatch: Job 9 to start at x" >&2')
    pools = {"cpu": SlurmPool(engine="slurm"), "gpu": GPUS}
    check_pools(pools, tmp_path / "slurm", "semforge-x")  # Slurm says when they would start, which is no objection
    assert "#SBATCH --gres=gpu:7" in (tmp_path / "asked").read_text()

    unavailable = f"cat > /dev/null; echo 'allocation failure: {NOT_AVAILABLE}' >&2; exit 1"
    command("sbatch", unavailable)
    with pytest.raises(InputError, match=r"^pool cpu: sbatch refused: Requested node configuration"):
        check_pools(pools, tmp_path / "slurm", "semforge-x")
    for states in ("up|idle\\nup|drained", "up|down*", "up|idle*", "drain|idle", "inact|idle"):
        command("sinfo", f"printf '{states}\\n'")
        check_pools(pools, tmp_path / "slurm", "semforge-x")  # a task would wait for the node

    command("sbatch", "cat > /dev/null; echo 'sbatch: error: Invalid qos specification' >&2; exit 1")
    with pytest.raises(InputError, match=r"^pool cpu: sbatch refused: Invalid qos specification$"):
        check_pools(pools, tmp_path / "slurm", "semforge-x")


def test_a_refused_array_is_one_error_and_nothing_is_printed(
    tmp_path: Path, command: Callable[[str, str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    command("squeue", "")
    command("sbatch", f"echo 'sbatch: error: Batch job submission failed: {NOT_AVAILABLE}' >&2; exit 1")
    with pytest.raises(InputError, match=f"^pool gpu: sbatch refused: {NOT_AVAILABLE}"):
        submit_array(GPUS, [print], tmp_path, "semforge-x", pool_name="gpu")
    with pytest.raises(SlurmError, match=r"without the nodes n1,n2$"):  # the nodes to avoid may be all there are
        submit_array(GPUS, [print, print], tmp_path, "semforge-x", pool_name="gpu", exclude="n1,n2")
    assert capfd.readouterr() == ("", "")
