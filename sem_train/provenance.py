"""Where a result comes from: versions, machine, commit."""

import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    return {name: version(name) for name in ("semforge", "torch", "lightning", "monai", "segmentation-models-pytorch")}


def machine() -> str:
    """The machine in words."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"{platform.system()} {platform.machine()}, {device}"


def commit() -> str | None:
    """The commit of this code; None where it is installed without its history."""
    here = Path(__file__)
    if shutil.which("git") is None:
        return None
    ask = lambda *words: subprocess.run(["git", *words], cwd=here.parent, capture_output=True, text=True).stdout.strip()
    # asked of this very file: the package may be installed inside another project's checkout
    return ask("rev-parse", "HEAD") if ask("log", "-1", "--format=%H", "--", here.name) else None
