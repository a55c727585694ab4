"""How Slurm's answers read, and what it is asked for; without a Slurm."""

from hypothesis import given
from hypothesis import strategies as st

from render_farm.clusters import LocalPool, SlurmPool
from render_farm.pools.opening import sample_timeout_s
from render_farm.pools.slurm import blame
from render_farm.pools.slurm_commands import (
    ENDED,
    QueuedTask,
    index_ranges,
    parse_array_limit,
    parse_endings,
    parse_queue,
)
from render_farm.pools.submission import slurm_parameters

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
