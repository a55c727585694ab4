"""What renders: exactly what was asked for, or an error; and each sample says what it was."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from blender_gen import scene
from blender_gen.__main__ import app
from blender_gen.device import KINDS, Device, best, full_name, hardware, processor, select
from blender_gen.pipeline import make_header, make_sample
from blender_gen.recipe import load_recipe, with_frame
from blender_gen.sample import verify_samples, write_samples
from blender_gen.specimen import View
from blender_gen.views import flat_substrate
from semforge.errors import DeviceAbsent

RECIPE = Path(__file__).parents[2] / "configs/recipes/slurry_coating.yaml"
CPU = f"CPU: {processor()}"


@dataclass
class Entry:
    """A device in the preferences."""

    name: str
    type: str
    id: str
    use: bool = True  # as Cycles enters a GPU that it has not seen before


@dataclass
class Preferences:
    """Cycles' preferences on a machine with these GPUs."""

    devices: list[Entry]
    compute_device_type: str = field(default="NONE")

    def get_devices_for_type(self, kind):
        found = [device for device in self.devices if device.type == kind]
        return found and [*found, *(device for device in self.devices if device.type == "CPU")]


@pytest.fixture
def workstation():
    cards = [Entry(f"Card {n}", kind, f"{kind}_{n}") for kind in ("CUDA", "OPTIX") for n in (1, 2)]
    return Preferences([Entry("Processor", "CPU", "CPU"), *cards, Entry("Only", "ONEAPI", "ONEAPI_1")])


@pytest.fixture(scope="module")
def small():
    return with_frame(load_recipe(RECIPE), width_px=64, height_px=48, pixel_size_um=2.0)


@pytest.fixture
def absent():
    missing = [kind for kind in KINDS if kind not in scene.available()]
    assert missing, "a machine with GPUs of every maker"
    return missing[0]


@pytest.mark.parametrize(("kind", "used"), [("optix", "OPTIX_1"), ("cuda", "CUDA_1"), ("oneapi", "ONEAPI_1")])
def test_the_first_device_of_the_kind_renders_and_nothing_else(workstation, kind, used):
    workstation.devices[2].use = False
    for _ in range(2):
        select(workstation, kind)
        assert workstation.compute_device_type == kind.upper()
        assert [device.id for device in workstation.devices if device.use] == [used]


def test_a_name_says_kind_and_hardware_and_that_there_were_more(workstation):
    assert full_name(workstation, "optix") == "OPTIX: Card 1 (first of 2)"
    assert full_name(workstation, "oneapi") == "ONEAPI: Only"
    assert full_name(workstation, "cpu") == CPU


def test_an_absent_kind_is_an_error_that_says_what_there_is(workstation, monkeypatch):
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "7")
    for ask in (select, full_name):
        with pytest.raises(DeviceAbsent) as caught:
            ask(workstation, "hip")
        found = f"OPTIX: Card 1 (first of 2), CUDA: Card 1 (first of 2), ONEAPI: Only, {CPU}"
        for part in ("device hip", found, "HIP_VISIBLE_DEVICES, which is 7"):
            assert part in str(caught.value)
    assert workstation.compute_device_type == "NONE"


def test_what_a_machine_has_comes_best_first(workstation):
    assert hardware(workstation) == {
        "optix": ["Card 1", "Card 2"], "cuda": ["Card 1", "Card 2"], "oneapi": ["Only"], "cpu": [processor()],
    }  # fmt: skip
    assert list(hardware(workstation)) == ["optix", "cuda", "oneapi", "cpu"]
    assert hardware(Preferences([])) == {"cpu": [processor()]}


def test_the_best_of_what_is_present_and_allowed():
    assert best(["cpu", "cuda", "optix"]) == "optix"
    assert best(["cpu", "cuda", "optix"], allowed=["cpu", "cuda"]) == "cuda"
    assert best(["cpu"]) == "cpu"
    with pytest.raises(DeviceAbsent, match="no device of optix, hip is visible here, only of cpu"):
        best(["cpu"], allowed=["optix", "hip"])


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'gpu' is not known, expected one of optix"):
        Device("gpu")


def test_cycles_knows_every_kind_by_its_name():
    scene.available()
    import bpy

    preferences = bpy.context.preferences.addons["cycles"].preferences
    for kind in KINDS[:-1]:
        preferences.compute_device_type = kind.upper()  # TypeError if it is not known
        assert preferences.compute_device_type == kind.upper()
    preferences.compute_device_type = "NONE"


def test_the_processor_is_always_there_and_auto_takes_the_best():
    present = scene.available()
    assert present[-1] == "cpu" and list(present) == [kind for kind in KINDS if kind in present]
    assert scene.pick("auto", threads=3) == Device(present[0], 3)
    assert scene.pick("hip") == Device("hip")  # whether it is there is asked when it is used


def test_asking_for_an_absent_device_ends_before_any_work(small, absent, monkeypatch):
    monkeypatch.setattr("blender_gen.pipeline._attempt", None)
    began = time.monotonic()
    with pytest.raises(DeviceAbsent, match=f"device {absent} is asked for"):
        make_sample(small, 0, 0, Device(absent))
    with pytest.raises(DeviceAbsent):
        make_header(small, 0, Device(absent))
    assert time.monotonic() - began < 10


def test_no_scene_is_rendered_in_place_of_an_absent_device(absent, monkeypatch):
    monkeypatch.setattr(scene, "_render", None)
    view = View((0, 0), 0.0, 8, 8, 1.0)
    with pytest.raises(DeviceAbsent):
        scene.first_hits(view, {"plane": flat_substrate(view, 0).mesh}, 1.0, Device(absent))


@pytest.mark.parametrize("command", [["preview", "--out", "x.png"], ["bench", "--size", "256"]])
def test_the_command_line_passes_the_device_on(absent, command):
    result = CliRunner().invoke(app, [command[0], str(RECIPE), *command[1:], "--device", absent])
    assert isinstance(result.exception, DeviceAbsent)
    assert "'gpu' is not one of" in CliRunner().invoke(app, [*command, str(RECIPE), "--device", "gpu"]).output


def test_the_device_comes_with_the_sample_and_not_with_its_digest(small, tmp_path):
    sample = make_sample(small, 0, 0, Device(threads=1))
    header = make_header(small, 0, Device(threads=1))
    assert sample.device == header.device == CPU
    assert header == make_header(small, 0, Device(threads=2))
    other = replace(sample, index=1, device="OPTIX: Card")
    assert replace(other, device=CPU).digest == other.digest
    write_samples(tmp_path / "s.h5", [sample, other], header)
    file, bad = verify_samples(tmp_path / "s.h5")
    assert not bad
    assert [file.device(n) for n in range(2)] == [file.sample(n).device for n in range(2)] == [CPU, "OPTIX: Card"]
    assert file.header.device == CPU


def test_a_file_that_knows_no_devices_of_samples_is_read(small, tmp_path):
    sample = make_sample(small, 0, 0)
    write_samples(tmp_path / "s.h5", [sample], make_header(small, 0))
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        del file["device"]
        file.attrs["device"] = "CPU"
    file, bad = verify_samples(tmp_path / "s.h5")
    assert not bad
    assert file.sample(0).device == file.device(0) == "CPU"
    assert np.array_equal(file.image(0), sample.image[0])
