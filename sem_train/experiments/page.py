"""The page that is filed with an experiment: one HTML file that opens anywhere, also without a network."""

import base64
from collections.abc import Sequence
from datetime import date
from typing import Any

import yaml

from sem_train.classes import ClassMap
from sem_train.experiments.analysis import Analysis
from sem_train.experiments.pictures import CaseRow
from sem_train.experiments.quantities import Quantity
from sem_train.experiments.tables import HEADINGS, UNTESTED, cells_of, rows_of, title_of
from sem_train.experiments.verdict import overall, verdicts, warnings
from sem_train.overlays import COLOURS
from semforge.pages import page_environment


def render_page(
    title: str, analysis: Analysis, classes: ClassMap, about: dict[str, Any], curves: bytes | None,
    cases: Sequence[CaseRow],
) -> str:  # fmt: skip
    """The page as text. `about` says where the results come from; lists and dicts in it are shown as YAML."""
    nested = {key: value for key, value in about.items() if isinstance(value, dict | list | tuple)}
    return page_environment("sem_train").get_template("experiment.html.j2").render(
        title=title, today=date.today().isoformat(), a=analysis, answer=overall(analysis), verdicts=verdicts(analysis),
        warnings=warnings(analysis), headings=HEADINGS, brief_headings=UNTESTED,
        primary=[_table(q, analysis) for q in analysis.primary],
        others=[_table(q, analysis) for q in analysis.quantities if not q.primary],
        curves="data:image/png;base64," + base64.b64encode(curves).decode() if curves else "", cases=cases,
        legend=[(c.name, "rgb({:.0f}, {:.0f}, {:.0f})".format(*COLOURS[i % len(COLOURS)]))
                for i, c in enumerate(classes.classes) if c.role not in ("background", "outside")],
        about={key: value for key, value in about.items() if key not in nested},
        nested={key: _yaml(value) for key, value in nested.items()},
    )  # fmt: skip


def _table(quantity: Quantity, analysis: Analysis) -> dict[str, Any]:
    return {"title": title_of(quantity), "rows": [cells_of(row, analysis) for row in rows_of(analysis, quantity)]}


def _yaml(value: Any) -> str:
    return yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def _plain(value: Any) -> Any:
    """As YAML knows it."""
    if isinstance(value, dict):
        return {str(key): _plain(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
