"""The bench command on small pictures: all stages, and sums that add up."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blender_gen.__main__ import app
from blender_gen.bench import STAGES

RECIPE = Path(__file__).parents[2] / "configs/recipes/slurry_coating.yaml"
SMALL = ["bench", str(RECIPE), "frame.pixel_size_um=1.2", "--size", "64"]


def test_json_names_every_stage_and_adds_up():
    result = CliRunner().invoke(app, [*SMALL, "--count", "2", "--images", "3", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found["stages"]) == list(STAGES)
    assert (found["size_px"], found["specimens"], found["micrographs"]) == ([64, 64], 2, 3)
    assert all(stage["wall_s"] > 0 for stage in found["stages"].values())
    for key in ("wall_s", "cpu_s"):
        assert sum(s[key] for s in found["stages"].values()) == pytest.approx(found["new_specimen"][key])
    assert sum(s["share"] for s in found["stages"].values()) == pytest.approx(1)
    assert 0 < found["further_micrograph"]["wall_s"] < found["new_specimen"]["wall_s"]


def test_the_table_says_what_one_micrograph_more_costs_only_if_there_was_one():
    base = [*SMALL, "--count", "1", "--images"]
    assert "further micrograph" in CliRunner().invoke(app, [*base, "2"]).stdout
    assert "further micrograph" not in CliRunner().invoke(app, [*base, "1"]).stdout
