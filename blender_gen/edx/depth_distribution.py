"""Where below the surface a shell is ionised: phi(rho z) of Pouchou & Pichoir's model XPP.

Source: Pouchou & Pichoir 1991, in Heinrich & Newbury (eds), Electron Probe Quantitation, Plenum, pp. 31-75.
phi(rho z) = A exp(-a rho z) + (B rho z + phi0 - A) exp(-b rho z), rho z in g/cm2. Its moments come from the stopping
power, the backscattered electrons and the range of the material; the absorbed share of the photons has a closed form.
"""

from dataclasses import dataclass

import numpy as np

from blender_gen.phases import Material
from semforge.spectra.lines import atomic_number, atomic_weight


@dataclass(frozen=True)
class DepthDistribution:
    """phi(rho z) for each of several edges: arrays of one length."""

    phi0: np.ndarray  # at the surface, 1 in a free thin film
    a: np.ndarray  # cm2/g
    b: np.ndarray
    big_a: np.ndarray
    big_b: np.ndarray

    def emitted(self, chi: np.ndarray) -> np.ndarray:
        """Integral of phi exp(-chi rho z) over all depths in g/cm2; chi in cm2/g, broadcast against the edges."""
        return (
            self.big_a / (self.a + chi)
            + self.big_b / (self.b + chi) ** 2
            + (self.phi0 - self.big_a) / (self.b + chi)
        )  # fmt: skip

    def emitted_to(self, depth: float | np.ndarray, chi: np.ndarray) -> np.ndarray:
        """The same down to a mass depth in g/cm2."""
        fast, slow = self.a + chi, self.b + chi
        fading = np.exp(-slow * depth)
        return (
            self.big_a * -np.expm1(-fast * depth) / fast
            + self.big_b * (1 - fading * (1 + slow * depth)) / slow**2
            + (self.phi0 - self.big_a) * (1 - fading) / slow
        )

    def picked(self, which: np.ndarray | int) -> "DepthDistribution":
        """Those of some of the edges."""
        return DepthDistribution(*(v[which] for v in (self.phi0, self.a, self.b, self.big_a, self.big_b)))


def depth_distribution(
    material: Material, beam_kev: float, edges_kev: np.ndarray, exponents: np.ndarray
) -> DepthDistribution:
    """XPP for edges below the beam energy; `exponents` is m in Q = ln U/(U^m Ec^2), see `exponent_of`."""
    fractions = np.array([c for _, c in material.mass_fractions])
    z = np.array([atomic_number(e) for e, _ in material.mass_fractions], dtype=float)
    weight = np.array([atomic_weight(e) for e, _ in material.mass_fractions])
    over = beam_kev / edges_kev
    area = _area(fractions, z, weight, beam_kev, over, exponents)
    zb = float((fractions * np.sqrt(z)).sum() ** 2)
    eta = backscattered(zb)
    phi0 = 1 + 3.3 * (1 - over ** -(2 - 2.3 * eta)) * eta**1.2
    x, y = 1 + 1.3 * np.log(zb), 0.2 + zb / 200
    mean_depth = area / (1 + x * np.log1p(y * (1 - over**-0.42)) / np.log1p(y))
    mean_depth = np.minimum(mean_depth, area / phi0)
    return _shape(area, mean_depth, phi0, zb, over)


def exponent_of(shell: str, element: str) -> float:
    """XPP's m: how the cross-section falls at high overvoltage."""
    if shell == "K":
        return 0.86 + 0.12 * float(np.exp(-((atomic_number(element) / 5) ** 2)))
    return 0.82 if shell[0] == "L" else 0.78


def backscattered(zb: float) -> float:
    """XPP's backscatter coefficient of a material of mean atomic number zb."""
    return 1.75e-3 * zb + 0.37 * (1 - float(np.exp(-0.015 * zb**1.3)))


def _area(
    fractions: np.ndarray, z: np.ndarray, weight: np.ndarray, beam_kev: float, over: np.ndarray, m: np.ndarray
) -> np.ndarray:
    """Area below phi(rho z): (R/S)/Q(U0)."""
    rate = fractions * z / weight
    potential_of = z * (10.04 + 8.25 * np.exp(-z / 11.22)) / 1000
    potential = float(np.exp((rate * np.log(potential_of)).sum() / rate.sum()))
    v0 = beam_kev / potential
    total = np.zeros_like(over)
    for d, p in (
        (6.6e-6, 0.78),
        (1.12e-5 * (1.35 - 0.45 * potential**2), 0.1),
        (2.2e-6 / potential, 0.25 * potential - 0.5),
    ):
        t = 1 + p - m
        total = total + d * (v0 / over) ** p * (t * over**t * np.log(over) - over**t + 1) / t**2
    inverse_stopping = over / (v0 * rate.sum()) * total
    cross_section = np.log(over) / over**m * (over / beam_kev) ** 2
    return _loss(fractions, z, over) * inverse_stopping / cross_section


def _loss(fractions: np.ndarray, z: np.ndarray, over: np.ndarray) -> np.ndarray:
    """XPP's R: the share of ionisations that backscattered electrons leave."""
    eta = backscattered(float((fractions * np.sqrt(z)).sum() ** 2))
    energy = 0.595 + eta / 3.7 + eta**4.55
    q = (2 * energy - 1) / (1 - energy)
    g = (over - 1 - (1 - over ** -(1 + q)) / (1 + q)) / ((2 + q) * (1 + over * (np.log(over) - 1)))
    return 1 - eta * energy * (1 - g)


def _shape(
    area: np.ndarray, mean_depth: np.ndarray, phi0: np.ndarray, zb: float, over: np.ndarray
) -> DepthDistribution:
    g = 0.22 * np.log(4 * zb) * (1 - 2 * np.exp(-zb * (over - 1) / 15))
    h = 1 - 10 * (1 - 1 / (1 + over / 10)) / zb**2
    b = np.sqrt(2) * (1 + np.sqrt(np.maximum(1 - mean_depth * phi0 / area, 0))) / mean_depth
    slope_limit = 0.9 * b * mean_depth**2 * (b - 2 * phi0 / area)
    slope = np.minimum(g * h**4, slope_limit) * area / mean_depth**2
    a = (slope + b * (2 * phi0 - b * area)) / (b * area * (2 - b * mean_depth) - phi0)
    epsilon = (a - b) / b
    epsilon = np.where(np.abs(epsilon) < 1e-6, 1e-6, epsilon)
    big_b = (b**2 * area * (1 + epsilon) - slope - phi0 * b * (2 + epsilon)) / epsilon
    big_a = (big_b / b + phi0 - b * area) * (1 + epsilon) / epsilon
    return DepthDistribution(phi0, b * (1 + epsilon), b, big_a, big_b)
