"""On what to render: the choice, and how Cycles is told. No Blender in here, only its preferences as an argument.

Cycles renders on the CPU, silently, if the GPU that its preferences name is not there. So a device is
looked up before it is used, and an absent one is an error.
"""

import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from semforge.errors import DeviceAbsent

Kind = Literal["optix", "cuda", "hip", "oneapi", "cpu"]
Choice = Literal[Kind, "auto"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # best first
VISIBLE = {  # what hides some of a machine's GPUs from a process, if it is set before the process starts
    "optix": "CUDA_VISIBLE_DEVICES", "cuda": "CUDA_VISIBLE_DEVICES", "hip": "HIP_VISIBLE_DEVICES",
    "oneapi": "ZE_AFFINITY_MASK",
}  # fmt: skip


@dataclass(frozen=True)
class Device:
    """What renders. Of several GPUs it is the first that the process sees."""

    kind: Kind = "cpu"
    threads: int = 0  # of the CPU, which prepares the scene for a GPU too; 0 is all cores; no result depends on it

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"device {self.kind!r} is not known, expected one of {', '.join(KINDS)}")


def best(present: Collection[Kind], allowed: Collection[Kind] = KINDS) -> Kind:
    """The best kind that is both present and allowed. Raises DeviceAbsent if there is none."""
    for kind in KINDS:
        if kind in present and kind in allowed:
            return kind
    raise DeviceAbsent(f"no device of {', '.join(allowed)} is visible here, only of {', '.join(present)}; allow one "
                       "of these or render elsewhere")  # fmt: skip


def hardware(preferences: Any) -> dict[Kind, list[str]]:
    """What Cycles, whose `preferences` these are, can render on: the names of each kind's devices, best kind first."""
    names = {kind: [device.name for device in _of_kind(preferences, kind)] for kind in KINDS if kind != "cpu"}
    return {kind: found for kind, found in names.items() if found} | {"cpu": [processor()]}


def full_name(preferences: Any, kind: Kind) -> str:
    """Kind and hardware, such as `OPTIX: NVIDIA H200`. Raises DeviceAbsent if there is no such device."""
    if kind == "cpu":
        return _name(kind, [processor()])
    return _name(kind, [device.name for device in _present(preferences, kind)])


def select(preferences: Any, kind: Kind) -> None:
    """Make Cycles render on the first GPU of this kind and on nothing else. Raises DeviceAbsent if there is none."""
    chosen = _present(preferences, kind)[0].id
    preferences.compute_device_type = kind.upper()
    for device in preferences.devices:
        device.use = device.type == kind.upper() and device.id == chosen


@lru_cache
def processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _of_kind(preferences: Any, kind: Kind) -> list[Any]:
    # Cycles adds the CPU to a kind's devices, and answers with none where it was built without the kind.
    return [device for device in preferences.get_devices_for_type(kind.upper()) if device.type == kind.upper()]


def _present(preferences: Any, kind: Kind) -> list[Any]:
    found = _of_kind(preferences, kind)
    if not found:
        there = ", ".join(_name(other, names) for other, names in hardware(preferences).items())
        variable = VISIBLE[kind]
        raise DeviceAbsent(f"device {kind} is asked for, but only {there} is visible here; choose one of these, or "
                           f"see to the driver and to {variable}, which is {os.environ.get(variable, 'not set')}"
                           )  # fmt: skip
    return found


def _name(kind: Kind, names: Sequence[str]) -> str:
    return f"{kind.upper()}: {names[0]}" + (f" (first of {len(names)})" if len(names) > 1 else "")
