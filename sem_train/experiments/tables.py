"""The numbers of an experiment for people and programs: terminal, Markdown, CSV, JSON."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from rich.console import Group as Renderables
from rich.padding import Padding
from rich.text import Text

from sem_train.experiments.analysis import Analysis, Difference, Estimate
from sem_train.experiments.quantities import Quantity
from sem_train.experiments.results import NO_REAL, ImageResult
from sem_train.experiments.verdict import answer, overall, p_text, says, signed, verdicts, warnings
from semforge.numbers import finite
from semforge.tables import plain_table

HEADINGS = ("real images", "arm", "all images", "sd of trainings", "mean of specimens", "95 % interval",
            "difference", "its 95 % interval", "corrected p", "answer", "could be found")  # fmt: skip
BRIEF = {"real": 0, "arm": 1, "value": 2, "Δ": 6, "95 % interval": 7, "p": 8, "answer": 9}  # of them, in a terminal
IMAGE = ("arm", "asked", "real_images", "fold", "seed", "image", "specimen")
UNTESTED = HEADINGS[:8]  # quantities that explain get no answer


@dataclass(frozen=True)
class Row:
    """A quantity of one arm, beside the reference at the same number of real images."""

    asked: str
    arm: str
    quantity: Quantity
    estimate: Estimate
    difference: Difference | None  # None of the reference, and where nothing can be paired


def rows_of(analysis: Analysis, quantity: Quantity) -> Iterator[Row]:
    """By number of real images; an arm without real images stands at each."""
    for asked in analysis.asked or (NO_REAL,):
        for arm in analysis.arms:
            own = analysis.estimate(arm, asked, quantity.name) or analysis.estimate(arm, NO_REAL, quantity.name)
            if own is not None:
                yield Row(asked, arm, quantity, own, analysis.difference(arm, asked, quantity.name))


def cells_of(row: Row, analysis: Analysis) -> tuple[str, ...]:
    """The row under `HEADINGS`."""
    q, e, d = row.quantity, row.estimate, row.difference
    digits = digits_of(q)
    shown = lambda x: f"{x:.{digits}f}".replace("-", "−") if math.isfinite(x) else "–"
    span = lambda low, high, text: f"{text(low)} to {text(high)}" if math.isfinite(low) else "–"
    change = lambda x: signed(x, digits)
    own = (row.asked, row.arm, shown(e.pooled), shown(e.sd_trainings), shown(e.mean), span(e.low, e.high, shown))
    if d is None:
        return (*own, "", "", "", "reference" if row.arm == analysis.reference else "", "")
    said = says(d.arm, answer(d, q), analysis) if q.primary else ""
    return (*own, change(d.mean), span(d.low, d.high, change), p_text(d.p_corrected), said, shown(d.detectable))


def digits_of(quantity: Quantity) -> int:
    """Decimal places that mean something."""
    return {"": 3, "px": 2, "points": 2, "%": 1}[quantity.unit]


def title_of(quantity: Quantity) -> str:
    """Label with unit, as a heading."""
    unit = {"": "", "points": ", percentage points"}.get(quantity.unit, f", {quantity.unit}")
    better = "" if quantity.better == "neither" else f" ({quantity.better} is better)"
    return f"{quantity.label[0].upper()}{quantity.label[1:]}{unit}{better}"


def terminal(analysis: Analysis) -> Renderables:
    """Answer first, then the numbers that it is made of."""
    parts: list[Any] = [Text(overall(analysis), style="bold"), Text()]
    parts += [Padding(Text(v.sentence), (0, 0, 0, 2)) for v in verdicts(analysis)]
    parts += [Padding(Text(f"! {warning}", style="yellow"), (0, 0, 0, 2)) for warning in warnings(analysis)]
    for quantity in analysis.primary:
        table = plain_table(title_of(quantity), *BRIEF)
        table.columns[1].justify = "left"
        for column in table.columns[2:-1]:
            column.no_wrap = True
        before = ""
        for row in rows_of(analysis, quantity):
            cells = cells_of(row, analysis)
            if before and row.asked != before:
                table.add_section()
            table.add_row(*(cells[i] for i in BRIEF.values()))
            before = row.asked
        parts += [Text(), table]
    if analysis.primary:
        parts.append(Text("value: all test images together; Δ: mean over specimens; p: corrected for all comparisons"))
    return Renderables(*parts)


def markdown(title: str, analysis: Analysis, about: dict[str, Any]) -> str:
    """The same as a page of its own, with the quantities that explain."""
    lines = [f"# {title}", "", f"**{overall(analysis)}**", ""]
    lines += [f"- {v.sentence}" for v in verdicts(analysis)]
    said = warnings(analysis)
    lines += ["", "Before believing it:", "", *(f"- {warning}" for warning in said)] if said else []
    for quantity in analysis.quantities:
        headings = HEADINGS if quantity.primary else UNTESTED
        lines += ["", f"## {title_of(quantity)}", "", f"| {' | '.join(headings)} |",
                  "|---|---|" + "--:|" * (len(headings) - 2)]  # fmt: skip
        lines += [f"| {' | '.join(cells_of(row, analysis)[: len(headings)])} |" for row in rows_of(analysis, quantity)]
    lines += ["", "What the columns mean: docs/comparing.md.", ""]
    lines += [f"- {key}: {value}" for key, value in about.items() if not isinstance(value, dict | list | tuple)]
    return "\n".join(lines) + "\n"


def summary_csv(analysis: Analysis) -> str:
    """One row an arm, number of real images and quantity."""
    real = {(g.arm, g.asked): g for g in analysis.groups}
    rows = []
    for e in analysis.estimates:
        group, quantity = real[e.arm, e.asked], analysis.quantity(e.quantity)
        fewest, most = group.real_images
        rows.append({**asdict(e), "unit": quantity.unit, "better": quantity.better, "fewest_real_images": fewest,
                     "most_real_images": most, "trainings": group.trainings, "seeds": len(group.seeds)})  # fmt: skip
    return _csv(rows, [f.name for f in fields(Estimate)])


def differences_csv(analysis: Analysis) -> str:
    """One row a comparison with the reference and quantity."""
    rows = []
    for d in analysis.differences:
        quantity = analysis.quantity(d.quantity)
        row = {key: value for key, value in asdict(d).items() if key != "by_specimen"}
        rows.append({**row, "p": d.p, "unit": quantity.unit, "better": quantity.better,
                     "answer": answer(d, quantity) if quantity.primary else ""})  # fmt: skip
    return _csv(rows, [f.name for f in fields(Difference) if f.name != "by_specimen"])


def images_csv(analysis: Analysis, results: Sequence[ImageResult]) -> str:
    """One row a test image and training."""
    rows = []
    for r in results:
        about = {name: getattr(r, name) for name in IMAGE}
        measured = {f"{kind}_{what}_{name}": getattr(pair, kind)
                    for what, pairs in (("thickness_px", r.score.thickness_px), ("area_percent", r.score.area_percent))
                    for name, pair in pairs.items() for kind in ("true", "predicted")}  # fmt: skip
        values = {q.name: q.value([r]) for q in analysis.quantities}
        rows.append({**about, **values, **measured, "seconds": r.seconds, "label_map": r.label_map})
    return _csv(rows, ["arm"])


def results_json(title: str, analysis: Analysis, results: Sequence[ImageResult], about: dict[str, Any]) -> str:
    """Everything, for programs. What is not known is null."""
    everything = {
        "title": title, "about": about, "answer": overall(analysis),
        "verdicts": [asdict(v) for q in analysis.primary for v in verdicts(analysis, q.name)],
        "warnings": warnings(analysis), "reference": analysis.reference, "baselines": analysis.baselines,
        "correction": analysis.correction, "missing": analysis.missing,
        "quantities": [{"name": q.name, "label": q.label, "unit": q.unit, "better": q.better, "primary": q.primary}
                       for q in analysis.quantities],
        "groups": [asdict(g) for g in analysis.groups], "estimates": [asdict(e) for e in analysis.estimates],
        "differences": [asdict(d) | {"p": d.p} for d in analysis.differences],
        "images": [asdict(r) for r in results],
    }  # fmt: skip
    return json.dumps(finite(everything), indent=1, allow_nan=False, default=str) + "\n"


def _csv(rows: Sequence[dict[str, Any]], least: Sequence[str]) -> str:
    """`least` heads a table without rows."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)) or least, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None or _unknown(value) else value for key, value in row.items()})
    return text.getvalue()


def _unknown(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
