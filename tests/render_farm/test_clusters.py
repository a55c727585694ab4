"""Clusters as labs write them."""

from pathlib import Path

import pytest

from render_farm.clusters import load_cluster
from render_farm.work.child import shares_of_gpus
from semforge.errors import InputError

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "clusters").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_clusters_are_read(path: Path) -> None:
    assert load_cluster(str(path)).pools


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools: {}", "pools"),
        ("pools: {a: {engine: slurm, partiton: gpu}}", "did you mean 'partition'"),
        ("pools: {a: {engine: local, partition: gpu}}", "partition: unknown key"),
        ("pools: {a: {engine: moon}}", "moon"),
        ("pools: {a: {engine: slurm, minutes_per_task: 30, time_min: 20}}", "minutes_per_task 30 is over time_min 20"),
        (
            "pools: {a: {engine: slurm, minutes_per_task: 1, time_min: 1}}",
            "pools.a.slurm: grace_s 90 is over half of time_min 1; expected grace_s 30 or less, or a longer time_min",
        ),
        (
            "pools: {a: {engine: slurm, time_min: 21, grace_s: 60, sample_timeout_min: 10.1}}",
            "sample_timeout_min 10.1 is over half of time_min 21 less grace_s 60; expected 10 or less",
        ),
        ("pools: {a: {engine: slurm}}\npoll_s: 0.9", "poll_s 0.9 asks Slurm's controller too often; expected 1 or"),
        ("pools: {a: {engine: debug}, b: {engine: local}}", "a debug pool works alone"),
        ("pools: {a: {engine: local, workers: 0}}", "workers"),
        ("pools: {a: {engine: local, device: vulkan}}", "device"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_cluster(str(path))
    assert said in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_settings_at_their_limits_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("pools: {a: {engine: slurm, time_min: 21, grace_s: 630, sample_timeout_min: 5.25}}\npoll_s: 1")
    assert load_cluster(str(path)).poll_s == 1
    path.write_text("pools: {a: {engine: local, sample_timeout_min: 300}}\npoll_s: 0.1")
    assert load_cluster(str(path)).pools["a"].sample_timeout_min == 300


@pytest.mark.parametrize("name", ["moon", "no_such_file.yaml"])
def test_a_cluster_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*local, debug or a YAML file"):
        load_cluster(name)


def test_one_renderer_a_granted_gpu() -> None:
    assert shares_of_gpus("optix", {"CUDA_VISIBLE_DEVICES": "2,3"}) == [
        {"CUDA_VISIBLE_DEVICES": "2"},
        {"CUDA_VISIBLE_DEVICES": "3"},
    ]
    assert shares_of_gpus("auto", {"ZE_AFFINITY_MASK": "0"}) == [{"ZE_AFFINITY_MASK": "0"}]
    assert shares_of_gpus("cpu", {"CUDA_VISIBLE_DEVICES": "2,3"}) == shares_of_gpus("cuda", {}) == []
