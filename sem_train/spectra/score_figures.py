"""Curves of scores, as figures."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sem_train.figures import BLUE, GREEN, GREY, STYLE, VERMILION, WIDTH_IN
from sem_train.spectra.evaluation import Row

COLOURS = {"network": BLUE, "sam": VERMILION, "bff": GREY, "nnls": GREEN}
NAMES = {
    "network": "network",
    "sam": "spectral angle",
    "bff": "binary features",
    "nnls": "least squares",
    "likelihood": "likelihood",
}


def score_curves(rows: Sequence[Row]) -> Figure:
    """Accuracy against counts a spectrum and, where there are several, against spatial binning."""
    finest = min(row.binning for row in rows)
    binned = sorted({row.binning for row in rows})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 2.9), layout="constrained")
        axes = figure.subplots(1, 1 + (len(binned) > 1), squeeze=False)[0]
        _curves(axes[0], [row for row in rows if row.binning == finest], lambda row: row.counts)
        axes[0].set(xscale="log", xlabel="counts a spectrum", ylabel="accuracy", ylim=(0, 1.01))
        axes[0].legend(loc="lower right")
        if len(binned) > 1:
            most = max(row.counts for row in rows)
            _curves(axes[1], [row for row in rows if row.counts == most], lambda row: row.binning)
            axes[1].set(xlabel="pixels along a square", ylim=(0, 1.01), xticks=binned)
            axes[1].set_title(f"binned, {most:.0f} counts a pixel")
        return figure


def _curves(axis: Axes, rows: Sequence[Row], x_of) -> None:  # type: ignore[no-untyped-def]
    for method in dict.fromkeys(row.method for row in rows):
        places = sorted({x_of(row) for row in rows if row.method == method})
        found = [np.mean([r.scores.accuracy for r in rows if r.method == method and x_of(r) == x]) for x in places]
        axis.plot(places, found, "o-", color=COLOURS.get(method), markersize=3, linewidth=1.4,
                  label=NAMES.get(method, method))  # fmt: skip
