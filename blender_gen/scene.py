"""The only door to Blender: triangles in, which of them each pixel sees out.

Cycles sends one ray straight down through each pixel's centre and answers with the number of the
triangle that it meets first; heights, normals and phases follow from the arrays outside. Several
view layers, each with triangles of its own, share one render. Blender is imported on the first
call and keeps running in the process.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from blender_gen.clock import stage
from blender_gen.device import Choice, Device, Kind, best, full_name, hardware, select
from blender_gen.solids import Triangles
from blender_gen.specimen import View
from semforge.errors import SemforgeError

CAMERA_ABOVE_UM = 1.0
MOST_TRIANGLES = 2**24 - 1  # Cycles' channels are float32, whose whole numbers end here
BLOCKS = ("scenes", "worlds", "cameras", "objects", "meshes", "materials", "collections", "images", "node_groups")
FASTEST_FOLDER = Path("/dev/shm")  # Blender hands a picture over as a file; in memory if there is such a folder


class RenderError(SemforgeError):
    """Blender gave no picture, or one that cannot be right."""


def first_hits(
    view: View, layers: Mapping[str, Triangles], start_um: float, device: Device = Device()
) -> dict[str, np.ndarray]:
    """What each pixel's centre sees of each layer: (H, W) int32, number of the triangle, -1 where there is none.

    The rays start at z = `start_um` and run down; what lies above is not seen. Devices of other kinds
    may differ where an edge of a triangle passes a pixel's centre within rounding.

    Raises RenderError on more than MOST_TRIANGLES triangles, or if Blender fails; DeviceAbsent if there
    is no such device.
    """
    with stage("scene"):
        bpy = _blender(device)
        _camera(bpy, view, start_um)
        material = _material(bpy)
        for name, mesh in layers.items():
            _mesh(bpy, name, mesh, material)
        _view_layers(bpy, layers)
    channels = _render(bpy)
    return {name: np.rint(channels[f"{name}.face.X"]).astype(np.int32) - 1 for name in layers}


def available() -> tuple[Kind, ...]:
    """The kinds of device that this machine has, best first; the CPU is always among them.

    A broken driver may crash the process that asks, so ask where rendering is going to happen.
    """
    return tuple(hardware(_preferences(_import())))


def pick(choice: Choice, threads: int = 0) -> Device:
    """The device of this kind, present or not; with `auto` the best that is present."""
    return Device(best(available()) if choice == "auto" else choice, threads)


def device_name(device: Device) -> str:
    """Kind and hardware, such as `OPTIX: NVIDIA H200`. Raises DeviceAbsent if there is no such device."""
    return full_name(None if device.kind == "cpu" else _preferences(_import()), device.kind)


def data_blocks() -> int:
    """How many data blocks Blender holds: what a leak between scenes would raise."""
    import bpy

    return sum(len(getattr(bpy.data, name)) for name in BLOCKS)


def _import() -> Any:
    """Blender; sys.path stays as it was."""
    path = list(sys.path)
    import bpy

    sys.path[:] = path
    return bpy


def _preferences(bpy: Any) -> Any:
    return bpy.context.preferences.addons["cycles"].preferences


def _blender(device: Device) -> Any:
    """Blender with an empty scene and every setting that touches a pixel set."""
    bpy = _import()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.threads_mode = "FIXED"
    scene.render.threads = device.threads or os.cpu_count() or 1
    cycles = scene.cycles
    cycles.device = "CPU" if device.kind == "cpu" else "GPU"
    if device.kind != "cpu":
        select(_preferences(bpy), device.kind)  # for every scene: a reset may forget it
    cycles.samples = 1
    cycles.seed = 0
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = False
    cycles.pixel_filter_type = "BOX"
    cycles.filter_width = 0.01  # the ray goes through the pixel's centre
    cycles.max_bounces = 0
    scene.render.dither_intensity = 0
    scene.render.use_compositing = False
    scene.render.use_sequencer = False
    scene.view_settings.view_transform = "Raw"
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "32"
    scene.render.image_settings.exr_codec = "NONE"
    scene.world = bpy.data.worlds.new("dark")
    return bpy


def _camera(bpy: Any, view: View, start_um: float) -> None:
    data = bpy.data.cameras.new("beam")
    data.type = "ORTHO"
    data.sensor_fit = "HORIZONTAL"
    data.ortho_scale = view.size_um[0]
    data.clip_start, data.clip_end = CAMERA_ABOVE_UM, 1e5
    camera = bpy.data.objects.new("beam", data)
    camera.location = (*view.centre_um, start_um + CAMERA_ABOVE_UM)
    camera.rotation_euler = (0, 0, np.radians(view.tilt_deg))
    scene = bpy.context.scene
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = view.width_px, view.height_px
    scene.render.resolution_percentage = 100


def _material(bpy: Any) -> Any:
    """A dark surface that writes the number of its triangle, from 1, into the channel `face`."""
    material = bpy.data.materials.new("face")
    material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    tree = material.node_tree
    tree.nodes.clear()
    attribute = tree.nodes.new("ShaderNodeAttribute")
    attribute.attribute_name = "face"
    output = tree.nodes.new("ShaderNodeOutputAOV")
    output.aov_name = "face"
    tree.links.new(attribute.outputs["Fac"], output.inputs["Value"])
    surface = tree.nodes.new("ShaderNodeOutputMaterial")
    emission = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(emission.outputs["Emission"], surface.inputs["Surface"])
    return material


def _mesh(bpy: Any, name: str, mesh: Triangles, material: Any) -> None:
    """One object in a collection of its own. Its edges are never built: rays do not need them, and they are slow."""
    vertices, triangles = mesh
    if len(triangles) > MOST_TRIANGLES:
        raise RenderError(f"{len(triangles)} triangles are more than {MOST_TRIANGLES}; use fewer or coarser bodies")
    collection = bpy.data.collections.new(name)
    bpy.context.scene.collection.children.link(collection)
    if not len(triangles):
        return
    data = bpy.data.meshes.new(name)
    data.vertices.add(len(vertices))
    data.loops.add(triangles.size)
    data.polygons.add(len(triangles))
    face = data.attributes.new("face", "FLOAT", "FACE")
    face.data.foreach_set("value", np.arange(1, len(triangles) + 1, dtype=np.float32))
    data.polygons.foreach_set("loop_start", np.arange(0, triangles.size, 3, dtype=np.int32))
    points = np.ascontiguousarray(vertices, dtype=np.float32).ravel()
    data.attributes["position"].data.foreach_set("vector", points)
    data.attributes[".corner_vert"].data.foreach_set("value", triangles.ravel().astype(np.int32))
    data.materials.append(material)
    collection.objects.link(bpy.data.objects.new(name, data))


def _view_layers(bpy: Any, names: Mapping[str, Triangles]) -> None:
    scene = bpy.context.scene
    for number, name in enumerate(names):
        layer = scene.view_layers[0] if number == 0 else scene.view_layers.new(name)
        layer.name = name
        layer.use_pass_combined = False
        channel = layer.aovs.add()
        channel.name, channel.type = "face", "VALUE"
        for child in layer.layer_collection.children:
            child.exclude = child.name != name


def _render(bpy: Any) -> dict[str, np.ndarray]:
    import OpenEXR

    home = FASTEST_FOLDER if os.access(FASTEST_FOLDER, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="semforge-", dir=home) as folder:
        path = Path(folder) / "passes.exr"
        bpy.context.scene.render.filepath = str(path)
        try:
            with _quiet():
                bpy.ops.render.render(write_still=True)
        except RuntimeError as error:  # a device out of memory, a kernel that it cannot load
            raise RenderError(f"Blender did not render: {' '.join(str(error).split())}") from error
        if not path.is_file():
            raise RenderError("Blender wrote no picture; its messages are in the log")
        with OpenEXR.File(str(path), separate_channels=True) as file:
            return {name: channel.pixels for name, channel in file.channels().items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Cycles reports its progress on the C level's stdout; send it to stderr only if it is asked for."""
    if os.environ.get("SEMFORGE_BLENDER_LOG"):
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(sink)
