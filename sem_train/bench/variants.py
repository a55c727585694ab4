"""The settings that are compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sem_train.bench.jobs import Job
from sem_train.hardware import number_format
from semforge.errors import InputError


@dataclass(frozen=True)
class Variant:
    """A setting, apart from the network and its optimiser."""

    about: str
    library: bool = False  # the library's own widths
    sleeping_threads: bool = False  # waiting threads sleep soon
    channels_last: bool = False
    precision: str = "32"
    flush: bool = False  # denormal numbers are zero

    def number_format(self, device: torch.device) -> str:
        """What it computes in: bf16, fp16 or 32."""
        return number_format(self.precision, device)


VARIANTS = {
    "library": Variant("PyTorch's defaults, the network as its library has it", library=True),
    "default": Variant("PyTorch's defaults, the network as sem-train fit has it"),
    "threads": Variant("waiting threads sleep soon", sleeping_threads=True),
    "channels_last": Variant("channels last in memory", channels_last=True),
    "bf16": Variant("bfloat16 autocast", precision="bf16"),
    "fp16": Variant("float16 autocast with a scaled gradient", precision="fp16"),
    "flush": Variant("denormal numbers are zero", flush=True),
    "all": Variant("what sem-train fit does", sleeping_threads=True, flush=True),
}


def chosen_variants(names: Sequence[str], job: Job, device: torch.device) -> dict[str, Variant]:
    """Settings by name, in the order of `VARIANTS`; `all` in the number format and memory format of the job.

    Without `library` where it would be the network itself. Raises InputError for a name that there is not, or
    one that the device cannot do.
    """
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"--settings: {name!r} is unknown, expected some of {','.join(VARIANTS)}")
    if "fp16" in names and device.type == "cpu":
        raise InputError("--settings: fp16 takes a GPU, and this runs on a CPU; leave it out")
    as_fit = {"precision": job.training.precision, "channels_last": job.training.channels_last}
    chosen = {name: variant for name, variant in VARIANTS.items() if name in names}
    if "library" in chosen and job.library_model == job.model:
        del chosen["library"]
    if not chosen:
        raise InputError(f"--settings: {job.model.name} has no other 'library' than its default; add default")
    return {name: replace(variant, **as_fit) if name == "all" else variant for name, variant in chosen.items()}
