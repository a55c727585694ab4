"""Mudrock: grains keep apart, fractions and sizes come out as asked for, recipes that cannot be built are refused."""

from pathlib import Path

import numpy as np
import pytest

from blender_gen.families.mudrock import make_mudrock
from blender_gen.recipe import load_recipe
from blender_gen.section import cut
from blender_gen.seeding import Stage, generator
from blender_gen.slicing import area_um2, rings
from blender_gen.truth.mudrock import mudrock_truth
from semforge.errors import InputError

RECIPE = Path(__file__).parents[2] / "configs" / "recipes" / "mudrock.yaml"
BARE = ["organic=[]", "pores=[]", "shadow_pores=null"]


def test_grains_do_not_overlap():
    recipe = load_recipe(RECIPE, [*BARE, "silt.area_percent=40", "silt.spacing_um=0.2", "frame.tilt_deg=0"])
    section = cut(make_mudrock(recipe, generator(0, 0, Stage.SPECIMEN)))
    separate = sum(area_um2(rings(body.mesh)) for body in section.specimen.bodies)
    together = sum(section.visible[k].area() for k in range(1, len(recipe.phase_names)) if k in section.visible)
    seen = [r for body in section.specimen.bodies for r in rings(body.mesh) if section.view.contains(r).all()]
    assert len(seen) > 5
    assert together <= separate
    truth = mudrock_truth(section)
    assert sum(record["count"] for record in truth["silt"].values()) >= len(seen)  # none has merged with another


def test_silt_fills_its_share_on_average():
    recipe = load_recipe(RECIPE, [*BARE, "silt.area_percent=25", "silt.ecd_um=3", "frame.pixel_size_um=0.1"])
    shares = [mudrock_truth(cut(make_mudrock(recipe, generator(1, i, Stage.SPECIMEN))))["silt_percent"]
              for i in range(8)]  # fmt: skip
    standard_error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - 25) < 4 * standard_error + 0.5


def test_truth_adds_up():
    truth = mudrock_truth(cut(make_mudrock(load_recipe(RECIPE), generator(0, 1, Stage.SPECIMEN))))
    assert sum(truth["area_percent"].values()) == pytest.approx(100, abs=0.01)
    pores = [truth["area_percent"][n] for n in ("clay_pore", "organic_pore", "shadow_pore")]
    assert truth["porosity_percent"] == pytest.approx(sum(pores))
    assert truth["pores"]["count"] == len(truth["pores"]["ecd_um"]) >= len(truth["pores"]["ecd_whole_um"])
    volumes = truth["volume_percent"]
    assert set(volumes) == set(truth["area_percent"]) - {"clay"}
    for name, area in truth["area_percent"].items():  # of many bodies the cuts are of about the mean size
        assert name == "clay" or (volumes[name] > 0) == (area > 0)
    assert min(min(r["body_ecd_um"], default=2.0) for r in truth["silt"].values()) >= 2


@pytest.mark.parametrize(
    "change, said",
    [
        ("silt.area_percent=70", "at most 50"),
        ("silt.ecd_um={lognormal: {median: 3, sigma_g: 1.5}}", "at least 2"),
        ("silt={area_percent: 40, ecd_um: 4, spacing_um: 50, minerals: [{name: q, material: quartz}]}", "below 0.69"),
        ("matrix.speckles=[{size_um: 3, area_percent: 1, contrast: 0.5}]", "below 1.2 or make them inclusions"),
        ("pores.0.area_percent=85", "leaves room for clay"),
        ("pores.0.material=quartz", "expected void"),
        ("pores.1.within=coal", "organic matter: organic"),
        ("organic.0.name=clay", "names of their own"),
        ("silt.minerals.0.material=void", "cannot be made of void"),
    ],
)
def test_what_cannot_be_is_refused(change: str, said: str):
    with pytest.raises(InputError, match=said):
        load_recipe(RECIPE, [change])


def test_silt_without_room_is_rejected_with_its_reason():
    from semforge.errors import RejectedSpecimen

    recipe = load_recipe(RECIPE, [*BARE, "silt.area_percent=50", "silt.ecd_um=3",
                                  "silt.spacing_um={choice: {values: [0, 5], weights: [0, 1]}}"])  # fmt: skip
    with pytest.raises(RejectedSpecimen, match="no room"):
        make_mudrock(recipe, generator(0, 0, Stage.SPECIMEN))
