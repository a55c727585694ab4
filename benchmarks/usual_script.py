"""A specimen rendered the usual way: `python -m benchmarks.usual_script RECIPE INDEX OUT [KEY=VALUE ...]`.

One process an image: start Blender, one object a body, one material a phase, a lamp, 128 samples
with the default bounces, an 8-bit picture; then the same again in flat colours for the mask, here
with a single sample. It is spared what is hard for it: the bodies come drawn and cut, from this
project, voids are black faces instead of holes, and the ground under particles is a plane.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from manifold3d import triangulate

from blender_gen.deposits.deposit import Deposit
from blender_gen.families import FAMILIES
from blender_gen.phases import VOID
from blender_gen.recipe import load_recipe
from blender_gen.section import Section
from blender_gen.seeding import Stage, generator
from blender_gen.solids import Triangles, sheet
from blender_gen.views import flat_substrate

SAMPLES = 128
STACK_UM = 0.05


def meshes(built: Section | Deposit) -> list[tuple[int, Triangles]]:
    """Phase and mesh of all that stands in the scene: layers and cut faces, or a ground and particles."""
    if isinstance(built, Deposit):
        lowest = min(float(p.mesh[0][:, 2].min()) for p in built.particles)
        ground = flat_substrate(built.view, 0, lowest).mesh
        return [(0, ground)] + [(built.lots[p.lot].phase, p.mesh) for p in built.particles]
    specimen = built.specimen
    layers = [(s.phase, sheet(specimen.x_um, specimen.z_um, s.inner_um, s.outer_um)) for s in specimen.strata]
    bodies = []
    for number, outline in enumerate(built.outlines, start=1):
        points = np.concatenate(outline.polygons)
        z = np.full(len(points), STACK_UM * number / len(built.outlines))
        bodies.append((outline.phase, (np.column_stack([points, z]), np.asarray(triangulate(list(outline.polygons))))))
    return layers + bodies


def render(built: Section | Deposit, greys: list[float], out: Path) -> None:
    """Write the picture, in a grey a phase, and the mask."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = False
    view = built.view
    scene.render.resolution_x, scene.render.resolution_y = view.width_px, view.height_px
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.type, camera.data.ortho_scale, camera.data.clip_end = "ORTHO", view.size_um[0], 1e5
    camera.location, camera.rotation_euler = (*view.centre_um, 5000.0), (0, 0, np.radians(view.tilt_deg))
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "SUN"))
    lamp.location, lamp.rotation_euler = (0, 0, 100), (0.3, 0.2, 0)
    lamp.data.energy = 3.0
    for item in (camera, lamp):
        scene.collection.objects.link(item)
    scene.camera = camera
    shaded = [_material(bpy, "ShaderNodeBsdfPrincipled", "Base Color", grey) for grey in greys]
    flats = [_material(bpy, "ShaderNodeEmission", "Color", (k + 1) / 255) for k in range(len(greys))]
    objects = []
    for number, (phase, (vertices, triangles)) in enumerate(meshes(built)):
        data = bpy.data.meshes.new(f"body {number}")
        data.from_pydata(vertices.tolist(), [], triangles.tolist())
        data.materials.append(shaded[phase])
        scene.collection.objects.link(bpy.data.objects.new(data.name, data))
        objects.append((phase, data))
    scene.render.filepath = f"{out}_image.png"
    bpy.ops.render.render(write_still=True)
    for phase, data in objects:
        data.materials[0] = flats[phase]
    scene.cycles.samples = 1
    scene.view_settings.view_transform = "Raw"
    scene.render.dither_intensity = 0
    scene.render.filepath = f"{out}_mask.png"
    bpy.ops.render.render(write_still=True)


def _material(bpy: Any, shader: str, socket: str, grey: float) -> Any:
    material = bpy.data.materials.new(f"{shader} {grey:.3f}")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    node, surface = tree.nodes.new(shader), tree.nodes.new("ShaderNodeOutputMaterial")
    node.inputs[socket].default_value = (grey, grey, grey, 1)
    tree.links.new(node.outputs[0], surface.inputs["Surface"])
    return material


def main() -> None:
    """One image of one specimen."""
    recipe_path, index, out, *changes = sys.argv[1:]
    recipe = load_recipe(Path(recipe_path), changes)
    built = FAMILIES[recipe.family].build(recipe, generator(0, int(index), Stage.SPECIMEN, 0))
    greys = [0.0 if material == VOID else 0.2 + 0.1 * k for k, material in enumerate(recipe.phase_materials)]
    render(built, greys, Path(out))


if __name__ == "__main__":
    main()
