"""`sem-train bench`: how fast models train, by setting, on crops that need no data."""

from sem_train.bench.jobs import Job, jobs_of
from sem_train.bench.measurement import measure_speed
from sem_train.bench.rounds import BenchSettings

__all__ = ["BenchSettings", "Job", "jobs_of", "measure_speed"]
