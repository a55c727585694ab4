"""The only door to Blender: a sectioned specimen in, exact passes out.

Two view layers are rendered with one ray through each pixel's centre. `section` sees the cut
faces and gives phase and instance; `relief` sees the layers as solids with their pores and
cracks open, and gives the height, the surface normal and the phase of the wall that is seen in a
void. Blender is imported on the first call and keeps running in the process.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from manifold3d import triangulate

from blender_gen.passes import Passes
from blender_gen.phases import void_mask
from blender_gen.section import Outline, Section, sectioned_solids
from blender_gen.solids import Triangles
from blender_gen.specimen import View
from semforge.errors import SemforgeError

LAYERS_UM, BODIES_UM = 0.5, 1.2  # cut faces are stacked in painter's order, in these parts of the stack
LEAST_STEP_UM = 3e-5  # steps must stay well above the rounding of a ray's length
CAMERA_ABOVE_UM = 2.0


class RenderError(SemforgeError):
    """Blender gave no picture, or one that cannot be right."""


def render(section: Section, threads: int = 0) -> Passes:
    """Render one section. `threads` 0 means all cores; the result does not depend on it.

    Raises RenderError if the label map holds anything but declared phases.
    """
    bpy = _blender(threads)
    view = section.specimen.view
    _camera(bpy, view)
    faces = _cut_faces(section.outlines, len(section.specimen.strata))
    material = _material(bpy, "ids")
    _mesh(bpy, "section", *faces, material=material)
    for number, (phase, mesh) in enumerate(sectioned_solids(section.specimen)):
        ids = np.full(len(mesh[1]), phase + 1.0)
        _mesh(bpy, f"relief{number}", mesh, ids, np.zeros(len(ids)), material)
    _view_layers(bpy)
    channels = _render(bpy)
    return _passes(channels, section.specimen.materials, view)


def _passes(channels: dict[str, np.ndarray], phase_materials: tuple[str, ...], view: View) -> Passes:
    phase = np.rint(channels["section.phase.X"])
    if phase.min() < 1 or phase.max() > len(phase_materials):
        raise RenderError("a pixel of the label map sees no declared phase")
    phase = (phase - 1).astype(np.uint8)
    void = void_mask(phase, phase_materials)
    wall = np.rint(channels["relief.phase.X"]).astype(np.int32) - 1
    wall = np.where(void & (wall >= 0), wall, phase).astype(np.uint8)
    depth = channels["relief.Depth.Z"] - CAMERA_ABOVE_UM - 1.0
    normal = np.stack([channels[f"relief.Normal.{axis}"] for axis in "XYZ"], axis=-1)
    normal[..., :2] = normal[..., :2] @ view.axes.T
    return Passes(
        phase=phase,
        instance=np.rint(channels["section.instance.X"]).astype(np.uint32),
        height_um=np.where(void, -np.clip(depth, 0, 1000), 0).astype(np.float32),
        normal=np.where(void[..., None], normal, np.array([0, 0, 1])).astype(np.float32),
        wall=wall,
        path_um={},
    )


def _blender(threads: int) -> Any:
    """Blender with an empty scene and every setting that touches a pixel set."""
    path = list(sys.path)
    import bpy

    sys.path[:] = path
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.threads_mode = "FIXED"
    scene.render.threads = threads or os.cpu_count() or 1
    cycles = scene.cycles
    cycles.device = "CPU"
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
    world = bpy.data.worlds.new("dark")
    scene.world = world
    return bpy


def _camera(bpy: Any, view: View) -> None:
    data = bpy.data.cameras.new("beam")
    data.type = "ORTHO"
    data.sensor_fit = "HORIZONTAL"
    data.ortho_scale = view.size_um[0]
    data.clip_start, data.clip_end = 1e-3, 1e4
    camera = bpy.data.objects.new("beam", data)
    camera.location = (*view.centre_um, CAMERA_ABOVE_UM + 1.0)
    camera.rotation_euler = (0, 0, np.radians(view.tilt_deg))
    scene = bpy.context.scene
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = view.width_px, view.height_px
    scene.render.resolution_percentage = 100


def _cut_faces(outlines: tuple[Outline, ...], layers: int) -> tuple[Triangles, np.ndarray, np.ndarray]:
    """All cut faces as one mesh in painter's order, with phase and instance of each triangle."""
    bodies = len(outlines) - layers
    if bodies * LEAST_STEP_UM > BODIES_UM:
        raise RenderError(f"{bodies} bodies are more than the stack of cut faces can order; use a smaller frame")
    steps = [LAYERS_UM / layers] * layers + [BODIES_UM / max(bodies, 1)] * bodies
    vertices, triangles, phases, instances = [], [], [], []
    offset, z = 0, 0.0
    for outline, step in zip(outlines, steps, strict=True):
        z += step
        faces = np.asarray(triangulate(list(outline.polygons)))
        points = np.concatenate(outline.polygons)
        vertices.append(np.column_stack([points, np.full(len(points), z)]))
        triangles.append(faces + offset)
        phases.append(np.full(len(faces), outline.phase + 1.0))
        instances.append(np.full(len(faces), float(outline.instance)))
        offset += len(points)
    mesh = np.concatenate(vertices), np.concatenate(triangles).astype(np.uint32)
    return mesh, np.concatenate(phases), np.concatenate(instances)


def _mesh(bpy: Any, name: str, mesh: Triangles, phases: np.ndarray, instances: np.ndarray, material: Any) -> Any:
    vertices, triangles = mesh
    data = bpy.data.meshes.new(name)
    data.vertices.add(len(vertices))
    data.vertices.foreach_set("co", np.ascontiguousarray(vertices, dtype=np.float32).ravel())
    data.loops.add(triangles.size)
    data.loops.foreach_set("vertex_index", triangles.ravel().astype(np.int32))
    data.polygons.add(len(triangles))
    data.polygons.foreach_set("loop_start", np.arange(0, triangles.size, 3, dtype=np.int32))
    for key, values in (("phase", phases), ("instance", instances)):
        attribute = data.attributes.new(key, "FLOAT", "FACE")
        attribute.data.foreach_set("value", values.astype(np.float32))
    data.update()
    data.materials.append(material)
    scene_object = bpy.data.objects.new(name, data)
    collection = bpy.data.collections.new(name)
    collection.objects.link(scene_object)
    bpy.context.scene.collection.children.link(collection)
    return data


def _material(bpy: Any, name: str) -> Any:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    tree = material.node_tree
    tree.nodes.clear()
    for key in ("phase", "instance"):
        attribute = tree.nodes.new("ShaderNodeAttribute")
        attribute.attribute_name = key
        output = tree.nodes.new("ShaderNodeOutputAOV")
        output.aov_name = key
        tree.links.new(attribute.outputs["Fac"], output.inputs["Value"])
    surface = tree.nodes.new("ShaderNodeOutputMaterial")
    emission = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(emission.outputs["Emission"], surface.inputs["Surface"])
    return material


def _view_layers(bpy: Any) -> None:
    scene = bpy.context.scene
    section = scene.view_layers[0]
    section.name = "section"
    relief = scene.view_layers.new("relief")
    relief.use_pass_z = relief.use_pass_normal = True
    for layer, outputs in ((section, ("phase", "instance")), (relief, ("phase",))):
        for name in outputs:
            aov = layer.aovs.add()
            aov.name, aov.type = name, "VALUE"
        for child in layer.layer_collection.children:
            child.exclude = (child.name == "section") != (layer.name == "section")


def _render(bpy: Any) -> dict[str, np.ndarray]:
    import OpenEXR

    with tempfile.TemporaryDirectory(prefix="semforge-") as folder:
        path = Path(folder) / "passes.exr"
        bpy.context.scene.render.filepath = str(path)
        with _quiet():
            bpy.ops.render.render(write_still=True)
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
