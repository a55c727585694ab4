"""Fibres: long, curved, tangled; lying on a plane, over themselves where they cross."""

from typing import Literal, get_args

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial import cKDTree

from blender_gen.shapes.meshes import displaced, grounded
from blender_gen.shapes.noise import roughness
from blender_gen.solids import Triangles

CrossSection = Literal["round", "kidney", "ribbon", "rough"]
SECTIONS = get_args(CrossSection)


def fibre(
    rng: np.random.Generator,
    aspect: float = 25.0,
    detail_px: float = 100.0,
    *,
    section: CrossSection | None = None,
    curl: float | None = None,
) -> Triangles:
    """Fibre as `strand` makes it, `aspect` length over diameter."""
    return strand(rng, 1.0, aspect, detail_px, section=section, curl=curl)


def strand(
    rng: np.random.Generator,
    diameter_um: float,
    length_um: float,
    detail_px: float = 100.0,
    *,
    section: str | None = None,
    curl: float | None = None,
) -> Triangles:
    """Fibre of a diameter and a length (along its axis) in the built pose: lying on z = 0.

    `section`: round; kidney (with a groove along it, as wet-spun fibres have); ribbon (flat and
    twisting; the diameter is its width); rough; drawn if None. `curl` is the rms angle in rad that
    it turns over its length: 1 nearly straight, 8 and more a tangle; drawn if None. Where it
    crosses itself the later part lies on the earlier. `detail_px` is the square root of the pixels
    that it covers.
    """
    if section is not None and section not in SECTIONS:
        raise ValueError(f"fibre section {section!r}; there are {', '.join(SECTIONS)}")
    section = section or str(rng.choice(SECTIONS, p=[0.4, 0.25, 0.2, 0.15]))
    curl = float(rng.lognormal(np.log(2.0), 0.7)) if curl is None else curl
    aspect = length_um / diameter_um
    rings = int(np.clip(aspect * 2, 12, 400))
    width_px = detail_px / np.sqrt(aspect)
    corners = int(np.clip(2 * np.ceil(width_px / 2.5), 6, 20))
    s = np.linspace(0, length_um, rings)
    xy, heading = _centreline(rng, s, diameter_um, curl)
    profile = _profile(section, corners) * diameter_um
    across = np.broadcast_to(profile, (rings, corners, 2))
    if section in ("kidney", "ribbon"):
        across = _twisted(rng, across, s / length_um, 1.2 if section == "ribbon" else 2.5)
    across = across * (1 + 0.06 * np.interp(s, np.linspace(0, length_um, 9), rng.normal(size=9)))[:, None, None]
    low, high = across[..., 1].min(axis=1), across[..., 1].max(axis=1)
    lift = _self_lift(xy, s, np.ptp(across[..., 0], axis=1), high - low, diameter_um)
    sideways = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    slope = np.gradient(lift, s)
    lean = slope / np.sqrt(1 + slope**2)
    forward = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    height = across[..., 1] - low[:, None]
    plan = (
        xy[:, None]
        + across[..., :1] * sideways[:, None]
        - (lean[:, None] * across[..., 1])[..., None] * forward[:, None]
    )
    for end, sign in ((0, -1), (-1, 1)):  # a cut is seldom square
        plan[end] += sign * 0.6 * rng.uniform(0, 1) * (across[end] @ rng.normal(size=2))[:, None] * forward[end]
    tube = np.concatenate([plan, (lift[:, None] + height)[..., None]], axis=-1)
    mesh = _tube(tube)
    if section == "rough":
        stretched = np.c_[mesh[0][:, :2], mesh[0][:, 2] * 1.5]
        mesh = displaced(mesh, 0.07 * diameter_um * roughness(rng, stretched, 2.0 * diameter_um, 0.5))
    return grounded(mesh)


def _centreline(rng: np.random.Generator, s: np.ndarray, diameter: float, curl: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) and headings (n,) of a plane curve: an even bend and waves, never tighter than the fibre allows."""
    length = s[-1]
    modes = np.arange(1, 8)
    waves = rng.normal(size=7) * modes**-0.6
    phases = rng.uniform(0, 2 * np.pi, 7)
    curvature = rng.normal() + (waves * np.cos(2 * np.pi * modes * s[:, None] / length + phases)).sum(axis=1)
    curvature = curl / length * curvature
    tightest = 1 / (1.2 * diameter)
    curvature = tightest * np.tanh(curvature / tightest)
    heading = rng.uniform(0, 2 * np.pi) + np.concatenate(
        [[0], np.cumsum((curvature[1:] + curvature[:-1]) / 2 * np.diff(s))]
    )
    middle = (heading[1:] + heading[:-1]) / 2
    steps = np.stack([np.cos(middle), np.sin(middle)], axis=1) * np.diff(s)[:, None]
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]), heading


def _profile(section: str, corners: int) -> np.ndarray:
    """(corners, 2) cross-section of width 1, anticlockwise seen along the fibre."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    circle = 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if section == "ribbon":
        return circle * [1.0, 0.25]
    if section == "kidney":
        return circle * [1.0, 0.72] - np.stack(
            [np.zeros(corners), 0.16 * np.exp(-((angle - np.pi / 2) ** 2) / 0.18)], axis=1
        )
    return circle


def _twisted(rng: np.random.Generator, across: np.ndarray, share: np.ndarray, turns: float) -> np.ndarray:
    """Cross-sections (n, c, 2) turned along the fibre, in runs: flat for a while, then over."""
    knots = np.linspace(0, 1, 7)
    angle = np.interp(share, knots, np.concatenate([[0], np.cumsum(rng.normal(scale=turns, size=6))]))
    angle = gaussian_filter1d(np.pi * (np.round(angle / np.pi) * 0.5 + angle / np.pi * 0.5), max(len(share) / 40, 1))
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([c * across[..., 0] - s * across[..., 1], s * across[..., 0] + c * across[..., 1]], axis=-1)


def _self_lift(xy: np.ndarray, s: np.ndarray, width: np.ndarray, height: np.ndarray, diameter: float) -> np.ndarray:
    """(n,) heights above the plane at which the fibre runs, over its own earlier parts."""
    step = s[1] - s[0]
    pairs = cKDTree(xy).query_pairs(1.15 * float(width.max()), output_type="ndarray")
    pairs = np.sort(pairs, axis=1)
    pairs = pairs[(pairs[:, 1] - pairs[:, 0]) * step > 3 * diameter]
    lift = np.zeros(len(s))
    if not len(pairs):
        return lift
    reach = max(int(np.ceil(1.5 * diameter / step)), 1)
    for _ in range(5):
        needed = np.zeros(len(s))
        np.maximum.at(needed, pairs[:, 1], (lift + height)[pairs[:, 0]])
        higher = gaussian_filter1d(maximum_filter1d(needed, 2 * reach + 1), reach / 2, mode="nearest")
        if np.allclose(higher, lift):
            break
        lift = higher
    return lift


def _tube(rings: np.ndarray) -> Triangles:
    """Closed body of rings (n, c, 3), each anticlockwise seen against the running direction, capped flat."""
    n, c, _ = rings.shape
    here = np.arange(n * c).reshape(n, c)
    after = np.roll(here, -1, axis=1)
    a, b, d, e = (q.ravel() for q in (here[:-1], after[:-1], after[1:], here[1:]))
    first, last = n * c, n * c + 1
    parts = [np.stack([a, b, d], axis=1), np.stack([a, d, e], axis=1)]
    parts.append(np.stack([np.full(c, first), after[0], here[0]], axis=1))
    parts.append(np.stack([np.full(c, last), here[-1], after[-1]], axis=1))
    vertices = np.concatenate([rings.reshape(-1, 3), rings[:1].mean(axis=1), rings[-1:].mean(axis=1)])
    return vertices, np.concatenate(parts).astype(np.uint32)
