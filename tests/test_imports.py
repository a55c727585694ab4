"""The direction of imports, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("semforge", "blender_gen", "render_farm", "sem_train")
MODULES = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

# package -> first-party modules it may import besides its own
ALLOWED = {
    "semforge": set(),
    "blender_gen": {"semforge"},
    "render_farm": {"semforge", "blender_gen"},
    # samples as they are stored, and new micrographs of them; neither needs Blender
    "sem_train": {"semforge", "blender_gen.sample", "blender_gen.reimaging"},
}
DOORS = {
    "bpy": "blender_gen/scene.py",
    "OpenEXR": "blender_gen/scene.py",
    "submitit": "render_farm/pools/submission.py",
}
TRAINING_ONLY = {"torch", "torchvision", "lightning", "monai", "segmentation_models_pytorch", "torchmetrics"}


def imported(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_what_its_package_may(path):
    package = path.parts[0]
    for name in imported(path):
        top = name.split(".")[0]
        if top in PACKAGES and top != package:
            allowed = ALLOWED[package]
            assert any(name == a or name.startswith(a + ".") for a in allowed), f"{path} imports {name}"
        if top in DOORS:
            assert str(path) == DOORS[top], f"{path} imports {top}; only {DOORS[top]} may"
        if top in TRAINING_ONLY:
            assert package == "sem_train", f"{path} imports {top}"
