"""A folder that is moved while it is rendered."""

import threading
import time
from pathlib import Path

import pytest
from farm_fakes import fake_cluster, make_job, render

from render_farm.coordinator import RunFailed
from render_farm.disk.folder import Folder
from render_farm.views.status import verify


def test_run_stops_and_nothing_is_written_at_the_old_place(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"

    def move() -> None:
        while not any('"shard"' in path.read_text() for path in old.glob("journal/*")):
            time.sleep(0.01)
        old.rename(new)  # the next checkpoint is a while off

    one_worker = fake_cluster(checkpoint_s=0.5, pools={"local": {"engine": "local", "workers": 1}})
    mover = threading.Thread(target=move)
    mover.start()
    with pytest.raises(RunFailed, match="was moved or replaced"):
        render(Folder(old), make_job(count=20, shard_size=40), cluster=one_worker, pause_s=0.2)
    mover.join()
    assert not old.exists() or not list(old.glob("shards/*.h5"))
    assert render(Folder(new), make_job(count=20)).digest == verify(Folder(new), deep=True).digest
