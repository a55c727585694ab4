"""One expected spectrum a particle: the beam scans what is seen of it, or stands in its middle."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

from blender_gen.edx.mixing import Seen
from blender_gen.edx.shadow import passing
from blender_gen.phases import Material
from semforge.spectra import EnergyAxis


def largest(instance: np.ndarray, most: int) -> np.ndarray:
    """The bodies (n,) uint32, n up to `most`, of a map (H, W) that show the most pixels; the largest first."""
    numbers, pixels = np.unique(instance[instance > 0], return_counts=True)
    return numbers[np.lexsort((numbers, -pixels))][:most].astype(np.uint32)


def scanned(instance: np.ndarray, numbers: Iterable[int], point: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of the pixels where the beam stands for each body: all that show it, or the innermost one."""
    boxes = find_objects(instance.astype(np.int32))
    places = []
    for number in numbers:
        box = boxes[int(number) - 1]
        here = instance[box] == number
        if point:
            inside = distance_transform_edt(np.pad(here, 1))[1:-1, 1:-1]
            rows, columns = (np.array([n]) for n in np.unravel_index(int(inside.argmax()), here.shape))
        else:
            rows, columns = np.nonzero(here)
        places.append((rows + box[0].start, columns + box[1].start))
    return places


def expected_spectrum(
    seen: Seen, spectra: np.ndarray, solids: Sequence[Material], axis: EnergyAxis
) -> tuple[np.ndarray, np.ndarray]:
    """Expected counts (C,) of a beam that stands equally long on each of some pixels, and the mean shares (P,).

    `spectra` (P, C) are those of the solids alone.
    """
    shares = seen.shares.astype(np.float64)
    total = np.zeros(spectra.shape[1])
    for kind, pixels in seen.way.kinds():  # not a matrix product, which depends on the number of threads
        mixed = np.einsum("p,pc->c", shares[pixels].sum(axis=0), spectra)
        total += mixed * passing(kind, solids, axis.energies_kev)
    return total / len(shares), shares.mean(axis=0)
