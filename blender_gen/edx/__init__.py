"""X-ray spectra of phases: from composition and beam to expected counts.

`phase_spectrum` computes a phase once; pixels and particles mix what it gives.
"""

from blender_gen.edx.conditions import Conditions, Detector
from blender_gen.edx.minerals import phase
from blender_gen.edx.spectrum import film_share, phase_spectrum, xray_range_um

__all__ = ["Conditions", "Detector", "film_share", "phase", "phase_spectrum", "xray_range_um"]
