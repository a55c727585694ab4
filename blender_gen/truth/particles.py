"""What a deposit is: every particle and every population, from geometry, with what of it the picture shows.

Sizes are of the shadow along the beam: ECD is the diameter of the circle of equal area, Feret
diameters are distances between parallel lines that touch the outline (ISO 9276-6). Projected is the
whole shadow, visible what the label map shows of it.
"""

from typing import Any

import numpy as np
from manifold3d import CrossSection

from blender_gen.deposits.deposit import Deposit, Particle
from blender_gen.passes import Passes
from blender_gen.specimen import View


def deposit_truth(deposit: Deposit, passes: Passes) -> dict[str, Any]:
    """Truth of a deposit as it is stored with a sample; lengths in µm, areas in µm²."""
    counts = np.bincount(passes.instance.ravel(), minlength=len(deposit.particles) + 1)
    frame_um2 = float(np.prod(deposit.view.size_um))
    records = [
        _particle(deposit, body, int(number), int(counts[number]), within)
        for number, body in zip(deposit.instances, deposit.particles, strict=True)
        if number and (within := _area_in_frame(body, deposit.view)) > 0
    ]
    members = {name: [r for r in records if r["population"] == name] for name in deposit.phase_names[1:]}
    return {
        "family": "particles",
        "substrate": deposit.phase_names[0],
        "particles": records,
        "populations": {name: _population(own, frame_um2) | _laid(deposit, name) for name, own in members.items()},
    }


def _area_in_frame(body: Particle, view: View) -> float:
    """Area in µm² of a particle's shadow inside the frame."""
    away, half = np.abs(np.array(body.place_um[:2])), np.array(view.size_um) / 2
    if np.any(away - body.reach_um >= half):
        return 0.0
    if np.all(away + body.reach_um < half):
        return body.projected_area_um2
    return float((body.outline ^ CrossSection([view.corners])).area())


def _particle(deposit: Deposit, body: Particle, number: int, pixels: int, within_um2: float) -> dict[str, Any]:
    projected = body.projected_area_um2
    visible = pixels * deposit.view.pixel_size_um**2
    largest, smallest = (value * body.ecd_um for value in body.mould.feret)
    return {
        "instance": number,
        "population": deposit.lots[body.lot].name,
        "ecd_um": float(np.sqrt(4 * projected / np.pi)),
        "visible_ecd_um": float(np.sqrt(4 * visible / np.pi)),
        "projected_area_um2": projected,
        "visible_area_um2": visible,
        "occluded_fraction": float(np.clip(1 - visible / within_um2, 0, 1)),
        "cut_by_frame": within_um2 < projected * (1 - 1e-6),
        "feret_max_um": largest,
        "feret_min_um": smallest,
        "aspect": largest / smallest,
        "height_um": body.height_um,
    }


def _laid(deposit: Deposit, name: str) -> dict[str, int]:
    """How many particles the frame and its surroundings should hold, and how many found a place."""
    lots = [lot for lot in deposit.lots if lot.name == name and not lot.background]
    return {"asked": sum(lot.asked for lot in lots), "laid": sum(lot.laid for lot in lots)}


def _population(records: list[dict[str, Any]], frame_um2: float) -> dict[str, Any]:
    seen = [r for r in records if r["visible_area_um2"] > 0]
    sizes = np.array([r["ecd_um"] for r in seen])
    summary = {f"d{q}_um": float(np.percentile(sizes, q)) for q in (10, 50, 90)} if len(sizes) else {}
    return {
        "number": len(seen),
        "number_cut_by_frame": sum(r["cut_by_frame"] for r in seen),
        "number_hidden": len(records) - len(seen),
        "coverage": sum(r["visible_area_um2"] for r in seen) / frame_um2,
        **summary,
    }
