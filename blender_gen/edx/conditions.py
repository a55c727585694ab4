"""How a spectrum is recorded: beam, geometry, coat, detector, energy axis."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from blender_gen.phases import Material, materials
from semforge.errors import InputError
from semforge.spectra.axis import EnergyAxis

Window = Literal["polymer", "silicon_nitride", "none"]
WINDOWS: tuple[str, ...] = get_args(Window)
Continuum = Literal["kramers", "seltzer_berger"]
CONTINUA: tuple[str, ...] = get_args(Continuum)


@dataclass(frozen=True)
class Detector:
    """A silicon drift detector. What differs between makers and instruments, with values that are usual."""

    resolution_ev: float = 130.0  # full width at half maximum at Mn Kα, 5895 eV
    soft_ev: float = 0.0  # widening of soft peaks below what `resolution_ev` says, at 0 keV, added in squares
    wings: float = 0.0  # share of a peak's counts that lie in wings 2.7 times as wide; fast electronics have them
    droop_ev: float = 0.0  # by how much soft peaks lie too low on the scale, at 0 keV
    window: str = "polymer"  # one of WINDOWS
    silicon_um: float = 450.0  # active thickness
    dead_layer_nm: float = 0.0  # silicon in front that counts nothing
    ice_um: float = 0.0  # on the crystal or the window
    escape: bool = True  # photons that lose a Si Kα photon, 1.74 keV
    pulse_pair_us: float = 0.0  # two photons closer than this are counted as one of their summed energy
    soft_pair_us: float | None = None  # the same where one of the two is too soft for the fast channel
    fast_threshold_kev: float = 0.8  # softest photon that the fast channel sees
    threshold_kev: float = 0.0  # softest pulse that is counted
    strobe: float = 0.0  # counts of the peak at zero energy per nA s
    tail: float = 0.0  # charge lost below the entrance contact: share of O Kα's counts that it moves out of the peak

    def __post_init__(self) -> None:
        _expect("resolution_ev", self.resolution_ev, 100.0, 400.0)
        _expect("soft_ev", self.soft_ev, 0.0, 100.0)
        _expect("wings", self.wings, 0.0, 0.5)
        _expect("droop_ev", self.droop_ev, 0.0, 60.0)
        if self.window not in WINDOWS:
            raise InputError(f"window: found {self.window!r}, expected one of {', '.join(WINDOWS)}")
        _expect("silicon_um", self.silicon_um, 1.0, 10_000.0)
        _expect("dead_layer_nm", self.dead_layer_nm, 0.0, 1000.0)
        _expect("ice_um", self.ice_um, 0.0, 10.0)
        _expect("pulse_pair_us", self.pulse_pair_us, 0.0, 20.0)
        if self.soft_pair_us is not None:
            _expect("soft_pair_us", self.soft_pair_us, 0.0, 20.0)
        _expect("fast_threshold_kev", self.fast_threshold_kev, 0.0, 10.0)
        _expect("threshold_kev", self.threshold_kev, 0.0, 2.0)
        _expect("strobe", self.strobe, 0.0, math.inf)
        _expect("tail", self.tail, 0.0, 0.5)


@dataclass(frozen=True)
class Conditions:
    """Everything about a spectrum but its phase and the dose. Raises InputError for values no microscope has."""

    beam_kev: float = 15.0
    axis: EnergyAxis = field(default_factory=lambda: EnergyAxis(2048, 10.0))
    take_off_deg: float = 40.0  # of the detector above the horizontal
    tilt_deg: float = 0.0  # of the surface towards the detector; grains have facets
    solid_angle_sr: float = 0.02
    detector: Detector = field(default_factory=Detector)
    coat: str | None = None  # a material of materials.yaml, sputtered or evaporated onto the specimen
    coat_nm: float = 0.0
    background: float = 1.0  # factor on the bremsstrahlung, which no formula gives better than within 30 %
    continuum: str = "kramers"  # or seltzer_berger: how the bremsstrahlung is computed
    current_na: float = 1.0  # pile-up alone depends on it: spectra are given per nA s

    def __post_init__(self) -> None:
        _expect("beam_kev", self.beam_kev, 1.0, 60.0)
        _expect("take_off_deg", self.take_off_deg, 5.0, 90.0)
        _expect("tilt_deg", self.tilt_deg, 5.0 - self.take_off_deg, 75.0)
        _expect("solid_angle_sr", self.solid_angle_sr, 1e-5, 2 * math.pi)
        _expect("coat_nm", self.coat_nm, 0.0, 400.0)
        _expect("background", self.background, 0.0, 10.0)
        if self.continuum not in CONTINUA:
            raise InputError(f"continuum: found {self.continuum!r}, expected one of {', '.join(CONTINUA)}")
        _expect("current_na", self.current_na, 0.0, 1000.0)
        if self.coat is not None and self.coat not in materials():
            raise InputError(f"coat: found {self.coat!r}, expected a material of materials.yaml, e.g. carbon or Au")

    @property
    def way_out(self) -> float:
        """How much longer than its depth below the surface, at normal incidence, a photon's way to the detector is.

        Under a tilted surface electrons reach less deep, by the cosine of the tilt.
        """
        tilt = math.radians(self.tilt_deg)
        return math.cos(tilt) / min(math.sin(math.radians(self.take_off_deg) + tilt), 1.0)

    @property
    def coat_material(self) -> Material | None:
        """What the specimen is coated with, None where it is bare."""
        return materials()[self.coat] if self.coat is not None and self.coat_nm > 0 else None


def _expect(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise InputError(f"{name}: found {value:g}, expected {lowest:g} to {highest:g}")
