"""Simulated beside measured spectra of minerals: `python -m benchmarks.edx FOLDER [--picture PICTURE.png]`.

FOLDER holds EMSA files named after minerals (albite.msa). One detector for all: what its ten files have in common, see
docs/edx.md. Two simulations of each: nominal, the middle of the mineral's composition, flat, under `COAT_NM` of carbon;
and grain, where tilt, coat, current and the amounts of end members are those that fit best within their ranges. Of each
line: its net counts beside those of the strongest line, and over the background beneath, simulated over measured.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares

from blender_gen.edx import Conditions, Detector
from blender_gen.edx.minerals import Mineral, minerals
from blender_gen.edx.response import fwhm_ev
from blender_gen.edx.spectrum import alone, piled_up
from blender_gen.phases import Material
from semforge.spectra import EnergyAxis, Spectrum, SpectrumLibrary, read_library, read_spectrum
from semforge.spectra.lines import lines_of

DETECTOR = Detector(
    resolution_ev=131.5, soft_ev=20.0, wings=0.045, droop_ev=18.0, window="silicon_nitride", tail=0.01,
    pulse_pair_us=0.16, soft_pair_us=0.2, threshold_kev=0.07,
)  # fmt: skip
BACKGROUND, CONTINUUM = 1.4, "seltzer_berger"
GAIN_ERROR, OFFSET_ERROR_EV = 0.0008, 0.5
COAT_NM = 60.0
TILT_DEG, COATS_NM = (-28.0, 65.0), (1.0, 400.0)
FIT_KEV = (0.15, 14.0)
LINES = ("C Kα", "O Kα", "F Kα", "Na Kα", "Mg Kα", "Al Kα", "Si Kα", "P Kα", "K Kα", "Ca Kα", "Ti Kα", "Fe Kα")
LEAST_FRACTION = 0.004  # by mass, of what the grain that fits best has
LEAST_COUNTS = 0.01  # of the strongest line: what is weaker is not compared
SIDE = (1.5, 1.8)  # where the background is read, in widths from the line
OF_NAMES = {"spinel": "Mg_spinel"}


def conditions_of(measured: Spectrum, tilt_deg: float, coat_nm: float, current_na: float) -> Conditions:
    """Those of the benchmark's detector for one file."""
    axis = EnergyAxis(measured.axis.channels, measured.axis.width_ev * (1 - GAIN_ERROR), -OFFSET_ERROR_EV)
    return Conditions(
        beam_kev=measured.beam_kev or 15.0, axis=axis, take_off_deg=36.8, tilt_deg=tilt_deg, detector=DETECTOR,
        coat="carbon", coat_nm=coat_nm, background=BACKGROUND, continuum=CONTINUUM, current_na=current_na,
    )  # fmt: skip


def simulated(material: Material, measured: Spectrum, tilt_deg: float, coat_nm: float) -> np.ndarray:
    """Counts of a material, at the current that gives as many above 1 keV as were measured."""
    live_s = measured.live_s or 1.0
    single = alone(material, conditions_of(measured, tilt_deg, coat_nm, 1.0))
    hard = measured.axis.channels_between(1.0, 14.0)
    current_na, wanted = 1.0, float(measured.counts[hard].sum())
    for _ in range(3):  # pile-up grows with the current
        counts = piled_up(single, conditions_of(measured, tilt_deg, coat_nm, current_na)) * current_na * live_s
        current_na *= wanted / counts[hard].sum()
    return counts


def fitted(mineral: Mineral, measured: Spectrum) -> tuple[np.ndarray, dict[str, float], Material]:
    """The grain that fits best: counts, tilt and coat, composition."""
    low = np.array([TILT_DEG[0], np.log(COATS_NM[0]), *(end[1] for end in mineral.ends)])
    high = np.array([TILT_DEG[1], np.log(COATS_NM[1]), *(max(end[2], end[1] + 1e-6) for end in mineral.ends)])
    inside = measured.axis.channels_between(*FIT_KEV)
    given = measured.counts[inside].astype(float)
    weight = 1 / np.sqrt(np.maximum(given, 5) + (0.05 * given) ** 2)

    def made(values: np.ndarray) -> tuple[np.ndarray, Material]:
        material = mineral.mixed(list(values[2:]))
        return simulated(material, measured, float(values[0]), float(np.exp(values[1]))), material

    start = np.clip((low + high) / 2, low, high)
    start[:2] = 5.0, np.log(COAT_NM)
    found = least_squares(
        lambda values: (made(values)[0][inside] - given) * weight, start, bounds=(low, high), x_scale=high - low,
        diff_step=1e-2, max_nfev=25,
    )  # fmt: skip
    counts, material = made(found.x)
    return counts, {"tilt_deg": float(found.x[0]), "coat_nm": float(np.exp(found.x[1]))}, material


def peak(counts: np.ndarray, axis: EnergyAxis, energy_kev: float) -> tuple[float, float]:
    """Net counts of a line, within a width of its energy, and the background beneath them."""
    width_kev = float(fwhm_ev(DETECTOR.resolution_ev, energy_kev, DETECTOR.soft_ev)) * 1e-3
    inside = counts[axis.channels_between(energy_kev - 0.8 * width_kev, energy_kev + 0.8 * width_kev)]
    near, far = (of * width_kev for of in SIDE)
    sides = [
        counts[axis.channels_between(energy_kev - far, energy_kev - near)].mean(),
        counts[axis.channels_between(energy_kev + near, energy_kev + far)].mean(),
    ]
    background = float(np.mean(sides)) * len(inside)
    return float(inside.sum()) - background, background


def compared(
    measured: np.ndarray, made: np.ndarray, axis: EnergyAxis, material: Material
) -> dict[str, tuple[float, float, float]]:
    """Of each line that is there: measured counts beside the strongest; simulated over measured of that, of P/B."""
    there = {"C", *(e for e, c in material.mass_fractions if c >= LEAST_FRACTION)}  # of others there are sums of lines
    wanted = [name for name in LINES if name.split()[0] in there]
    energies = {name: next(x.energy_kev for x in lines_of(name.split()[0]) if x.name == name) for name in wanted}
    true = {name: peak(measured, axis, energy) for name, energy in energies.items()}
    found = {name: peak(made, axis, energy) for name, energy in energies.items()}
    hard = [name for name in wanted if energies[name] > 1.2]
    first = max(hard, key=lambda name: true[name][0])
    rows = {}
    for name in wanted:
        share = true[name][0] / true[first][0]
        if share >= LEAST_COUNTS and found[name][0] > 0 and true[name][0] > 0.2 * true[name][1]:
            ratio = found[name][0] / found[first][0] / share
            over = found[name][0] / found[name][1] / (true[name][0] / true[name][1])
            rows[name] = (share, ratio, over)
    return rows


def named(library: SpectrumLibrary, files: dict[str, Spectrum], seed: int = 0) -> dict[str, list[str]]:
    """Phases of each file, the likeliest first, by the plainest method: a linear discriminant on the library.

    Counts above 0.6 keV in channels of 20 eV, as shares of their sum, square roots; trained on Poisson counts.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    def features(counts: np.ndarray) -> np.ndarray:
        pairs = counts[:, 60:800].reshape(len(counts), -1, 2).sum(axis=2)
        return 100 * np.sqrt(pairs / pairs.sum(axis=1, keepdims=True))

    rng = np.random.default_rng(seed)
    flat = library.spectra.reshape(-1, library.axis.channels).astype(float)
    doses = rng.choice([5e4, 3e5, 2e6], size=(len(flat), 1))
    classes = np.repeat(np.arange(len(library.names)), len(library.conditions))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    model.fit(features(rng.poisson(flat / flat.sum(axis=1, keepdims=True) * doses)), classes)
    likely = model.predict_proba(features(np.array([one.counts for one in files.values()], dtype=float)))
    return {name: [library.names[k] for k in np.argsort(-p)] for name, p in zip(files, likely, strict=True)}


def picture(pairs: dict[str, tuple[np.ndarray, np.ndarray]], axis: EnergyAxis, path: Path) -> None:
    """Measured and simulated spectra, one above the other."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = (len(pairs) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(13, 2.3 * rows), sharex=True, layout="constrained")
    for place, (name, (measured, made)) in zip(axes.flat, pairs.items(), strict=False):
        place.semilogy(axis.energies_kev, np.maximum(measured, 0.5), lw=0.8, color="#1d1f21", label="measured")
        place.semilogy(axis.energies_kev, np.maximum(made, 0.5), lw=0.8, color="#d55e00", label="simulated")
        place.set(xlim=(0, 8), ylim=(100, 4 * max(measured.max(), made.max())))
        place.text(0.985, 0.93, name, transform=place.transAxes, ha="right", va="top")
        place.spines[["top", "right"]].set_visible(False)
    axes.flat[0].legend(loc="upper center", frameon=False, ncols=2)
    figure.supxlabel("energy, keV")
    figure.supylabel("counts a channel of 10 eV in 10 s")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Simulate every file, print the tables, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--library", type=Path, help="also name the files by a linear discriminant on this library")
    given = parser.parse_args()
    console = Console(width=190)
    results: dict[str, dict[str, dict[str, tuple[float, float, float]]]] = {"nominal": {}, "grain": {}}
    pairs, axis = {}, None
    for path in sorted(given.folder.glob("*.msa")):
        measured = read_spectrum(path)
        mineral, axis = minerals()[OF_NAMES.get(path.stem, path.stem)], measured.axis
        counts, grain, material = fitted(mineral, measured)
        pairs[path.stem] = measured.counts.astype(float), counts
        nominal = simulated(mineral.middle(), measured, 0.0, COAT_NM)
        results["nominal"][path.stem] = compared(measured.counts.astype(float), nominal, measured.axis, material)
        results["grain"][path.stem] = compared(measured.counts.astype(float), counts, measured.axis, material)
        shares = " ".join(f"{e} {100 * c:.1f}" for e, c in material.mass_fractions if c > 0.002)
        console.print(f"{path.stem}: tilt {grain['tilt_deg']:.0f}°, carbon {grain['coat_nm']:.0f} nm, wt% {shares}")
    for kind, of in results.items():
        table = Table(title=f"{kind}: simulated over measured, counts beside the strongest line / peak over background")
        for heading in ("", *LINES):
            table.add_column(heading, justify="right")
        for name, rows in of.items():
            table.add_row(name, *(f"{rows[x][1]:.2f} / {rows[x][2]:.2f}" if x in rows else "" for x in LINES))
        lines = [row for rows in of.values() for name, row in rows.items() if name != "C Kα"]
        of_counts = np.median([abs(np.log(row[1])) for row in lines if row[1] != 1])  # the strongest is 1 by definition
        of_peaks = np.median([abs(np.log(row[2])) for row in lines])
        by_line = [[np.log(r[x][2]) for r in of.values() if x in r] for x in LINES]
        table.add_row("median P/B", *(f"{np.exp(np.median(v)):.2f}" if v else "" for v in by_line), style="bold")
        console.print(table)
        console.print(
            f"{kind}: median error without carbon: counts {100 * np.expm1(of_counts):.0f} %, "
            f"peak over background {100 * np.expm1(of_peaks):.0f} %, {len(lines)} lines"
        )
    if given.library is not None:
        files = {path.stem: read_spectrum(path) for path in sorted(given.folder.glob("*.msa"))}
        found = named(read_library(given.library), files)
        places = [order.index(OF_NAMES.get(name, name)) for name, order in found.items()]
        console.print(
            f"named: first {sum(p < 1 for p in places)}, first three {sum(p < 3 for p in places)} of {len(places)}"
        )
    if given.picture is not None and axis is not None:
        picture(pairs, axis, given.picture)
        console.print(f"{given.picture}")


if __name__ == "__main__":
    main()
