"""From recipe to sample: what imaging may change and what not."""

from pathlib import Path

import numpy as np
import pytest

from blender_gen.pipeline import make_sample
from blender_gen.recipe import load_recipe
from semforge.errors import InputError

SLURRY = Path(__file__).parents[2] / "configs/recipes/slurry_coating.yaml"
SMALL = ("frame.width_px=96", "frame.height_px=80", "frame.pixel_size_um=1.1")
EVERYTHING = (
    "imaging.artefacts={drift_px: 4, vibration_px: 1, line_jitter_px: 0.3, charging: 0.5, charging_halo: 0.3, "
    "contamination: 0.2, shading: 0.1, vignette: 0.2, banding: 0.01, resampling: 1.5, jpeg_quality: 60}",
    "imaging.lettering={databar: 1, scale_bar: 1, panel_letter: 1}",
    "imaging.preparation={scratches: 5, relief_um: 0.3, pull_outs: 5, pull_out_um: 3, smear_um: 1, curtaining: 0.05}",
)
PAIR = (
    "imaging.detector=[{kind: bse, beam_kev: 15, beam_current_na: 1, dwell_us: 10, collection: 0.2, probe_um: 0.1}, "
    "{kind: se, beam_kev: 15, beam_current_na: 1, dwell_us: 10, collection: 0.2, probe_um: 0.1, "
    "greys: {dark: 0, bright: 0.5}}]",
    "imaging.images_per_specimen=2",
)


def sample(*overrides):
    return make_sample(load_recipe(SLURRY, (*SMALL, *overrides)), 0, seed=4)


def test_no_artefact_changes_a_label_or_the_truth():
    plain, spoilt = sample(), sample(*EVERYTHING)
    assert np.array_equal(plain.phase, spoilt.phase)
    assert np.array_equal(plain.instance, spoilt.instance)
    assert plain.truth == spoilt.truth
    assert not np.array_equal(plain.image, spoilt.image)
    (record,) = spoilt.imaging
    assert record["databar_px"] > 0
    assert record["preparation"]["pull_outs"] == 5


def test_each_detector_takes_as_many_images_as_asked_for():
    found = sample(*PAIR)
    assert found.image.shape == (4, 80, 96)
    assert [record["kind"] for record in found.imaging] == ["bse", "se", "bse", "se"]
    assert [record["bright"] for record in found.imaging][1::2] == [0.5, 0.5]
    assert sample(*PAIR).digest == found.digest


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("imaging.detector.kind=sem", ["kind", "bse"]),
        ("imaging.detector={kind: se, beam_kev: 60}", ["beam_kev", "at most 50"]),
        ("imaging.detector=[]", ["detector"]),
        ("imaging.detector.tilt_exponent=1", ["tilt_exponent"]),
        ("imaging.artefacts.jpeg_quality=0", ["jpeg_quality", "at least 1"]),
        ("imaging.lettering={databar: 2}", ["databar"]),
        ("imaging.preparation.smear=1", ["smear", "did you mean 'smear_um'"]),
    ],
)
def test_mistakes_in_imaging_are_named_in_one_line(override, words):
    with pytest.raises(InputError) as caught:
        load_recipe(SLURRY, (override,))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_jpeg_needs_eight_bits():
    with pytest.raises(InputError, match="8 bits"):
        load_recipe(SLURRY, ("imaging.greys.bits=16", "imaging.artefacts.jpeg_quality=50"))


def test_a_section_cannot_be_seen_through():
    detector = "{kind: transmission, beam_kev: 100, beam_current_na: 1, dwell_us: 1, collection: 1, probe_um: 0}"
    with pytest.raises(InputError, match="stand free"):
        load_recipe(SLURRY, (f"imaging.detector={detector}",))
