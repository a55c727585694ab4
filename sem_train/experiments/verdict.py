"""The answer in plain sentences: helps, hurts, or cannot be told, and what it rests on."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sem_train.experiments.analysis import Analysis, Difference
from sem_train.experiments.permutation import smallest_p
from sem_train.experiments.power import LEVEL, MOST
from sem_train.experiments.quantities import Quantity
from sem_train.experiments.results import NO_REAL

MAIN = "mean_iou"  # the quantity of the sentences
FEW_SPECIMENS = 9  # below, a warning: intervals were seen to hold 91 to 95 % with nine
FEW_SEEDS = 3
MUCH_LUCK = 1.5  # times the standard error from specimens: above, more seeds help more than more specimens

Answer = Literal["helps", "hurts", "cannot be told"]
ANSWERS: tuple[Answer, ...] = ("helps", "hurts", "cannot be told")


@dataclass(frozen=True)
class Verdict:
    """One arm at one number of real images, in one primary quantity."""

    arm: str
    asked: str
    quantity: str
    answer: Answer
    sentence: str


def answer(difference: Difference, quantity: Quantity) -> Answer:
    """Helps or hurts if the interval keeps clear of zero and the corrected p-value is at most 5 %.

    A single training tells nothing: its luck is not in the interval.
    """
    low, high = sorted((quantity.gain(difference.low), quantity.gain(difference.high)))
    if not difference.p_corrected <= LEVEL or difference.trainings < 2:
        return "cannot be told"
    return "helps" if low > 0 else "hurts" if high < 0 else "cannot be told"


def verdicts(analysis: Analysis, quantity: str = MAIN) -> list[Verdict]:
    """One for each arm and number of real images, in the order of the arms."""
    compared = analysis.quantity(quantity)
    return [
        Verdict(d.arm, d.asked, quantity, answer(d, compared), _sentence(d, compared, analysis))
        for arm in analysis.arms for d in analysis.differences if d.arm == arm and d.quantity == quantity
    ]  # fmt: skip


def overall(analysis: Analysis) -> str:
    """One sentence for the whole experiment."""
    found = verdicts(analysis)
    if not found:
        return f"Nothing can be told yet: no arm has results on the same images as {analysis.reference}."
    several = len({v.asked for v in found}) > 1
    parts = []
    for arm in dict.fromkeys(v.arm for v in found):
        numbers = {said: [v.asked for v in found if v.arm == arm and v.answer == said] for said in ANSWERS}
        said = [says(arm, each, analysis) + (f" with {_and(those)}" if several else "")
                for each, those in numbers.items() if those]  # fmt: skip
        parts.append(f"{arm} {_and(said)}")
    label = analysis.quantity(MAIN).label
    among = ", by number of real images" if several else ""
    return f"{label[0].upper()}{label[1:]} against {analysis.reference}{among}: {'; '.join(parts)}."


def warnings(analysis: Analysis) -> list[str]:
    """What a reader must know before believing any of it."""
    said = []
    mine = [d for d in analysis.differences if d.quantity == MAIN]
    if not mine:
        return [f"nothing to compare with {analysis.reference} yet", *_missing(analysis)]
    specimens, seeds, trainings = (min(getattr(d, of) for d in mine) for of in ("specimens", "seeds", "trainings"))
    if specimens < FEW_SPECIMENS:
        said.append(f"{specimens} specimens only: intervals rest on little, and specimens of another kind may differ")
    if trainings < 2:
        said.append("one seed and one fold: the luck of a single training looks like an effect of the arm, so nothing "
                    "can be told; run three seeds or more")  # fmt: skip
    elif seeds < FEW_SEEDS:
        said.append(f"{'one seed' if seeds == 1 else f'{seeds} seeds'}: the luck of trainings is known from "
                    f"{trainings} of them only, which makes intervals wide; run three seeds or more")  # fmt: skip
    for network, quantity, family in _families(analysis):
        best = _best_p(family, analysis)
        if best > LEVEL:
            few = min(d.specimens for d in family)
            said.append(f"{quantity.label}: {_count(len(family), 'comparison')} of {network} on {few} specimens cannot "
                        f"answer anything: even if every specimen agreed, the corrected p would be {best:.3f}; have "
                        "fewer arms or numbers of real images, or more specimens")  # fmt: skip
    hidden = [d for d in analysis.differences if analysis.quantity(d.quantity).primary and d.left_out]
    for quantity in dict.fromkeys(d.quantity for d in hidden):
        most = max(d.left_out for d in hidden if d.quantity == quantity)
        said.append(f"{analysis.quantity(quantity).label}: {_count(most, 'specimen')} without that class left out")
    return said + _missing(analysis)


def _missing(analysis: Analysis) -> list[str]:
    return [f"not complete: {what}" for what in analysis.missing]


def _families(analysis: Analysis) -> Iterator[tuple[str, Quantity, list[Difference]]]:
    for quantity in analysis.primary:
        mine = [d for d in analysis.differences if d.quantity == quantity.name and d.specimens]
        for name, network in (("networks", True), ("baselines", False)):
            family = [d for d in mine if (d.arm not in analysis.baselines) == network]
            if family:
                yield name, quantity, family


def _best_p(family: Sequence[Difference], analysis: Analysis) -> float:
    """The corrected p-value if all specimens agreed in all comparisons."""
    number = len(family) if analysis.correction == "holm" else 1
    return min(1.0, number * min(smallest_p(d.specimens) for d in family))


def _sentence(d: Difference, quantity: Quantity, analysis: Analysis) -> str:
    said = answer(d, quantity)
    basis = f"{_count(d.specimens, 'specimen')}, {_count(d.seeds, 'seed')}"
    if math.isnan(d.mean):
        return f"{_subject(d, analysis)}: cannot be told, no specimen has a {quantity.label} on both sides."
    numbers = f"95 % interval {_span(d.low, d.high)}, corrected p {p_text(d.p_corrected)}; {basis}"
    if said == "cannot be told":
        return (f"{_subject(d, analysis)}: cannot be told; {quantity.label} differs by {signed(d.mean)} "
                f"({numbers}). {_more(d)}")  # fmt: skip
    direction = "higher" if d.mean > 0 else "lower"
    return (f"{_subject(d, analysis)}: {says(d.arm, said, analysis)}; {quantity.label} is {direction} by "
            f"{abs(d.mean):.3f} ({numbers}).")  # fmt: skip


def _more(d: Difference) -> str:
    """What it would take to tell."""
    found = ""
    if not math.isnan(d.detectable):
        found = f" A true difference of {d.detectable:.3f} would have been found in four of five such experiments."
    if d.trainings < 2:
        return "It takes more than one training to tell."
    if d.error_trainings > MUCH_LUCK * d.sd / math.sqrt(d.specimens):
        return f"Trainings disagree more than specimens do, so more seeds would help most.{found}"
    if math.isnan(d.needed):
        return f"It takes more specimens to tell.{found}"
    if math.isinf(d.needed):
        return f"To show a difference this small would take more than {MOST} specimens.{found}"
    if d.needed <= d.specimens:
        return (f"{d.needed:.0f} specimens show a difference of this size in four of five experiments: this is one of "
                f"the others, or it is the luck of the trainings.{found}")  # fmt: skip
    return (f"If the true difference is the one seen and specimens differ as these do, {d.needed - d.specimens:.0f} "
            f"more would show it in four of five experiments (paired t test).{found}")  # fmt: skip


def _subject(d: Difference, analysis: Analysis) -> str:
    number = "" if d.asked == NO_REAL else f" with {_count_of_images(d.asked)}"
    if d.arm in analysis.networks_with_real or d.arm in analysis.baselines:
        return f"{d.arm}{number}"
    return f"{d.arm}, without real images, against {analysis.reference}{number}"


def says(arm: str, said: Answer, analysis: Analysis) -> str:
    """What has no network, or no real images to be added to, is better or worse; it helps nobody."""
    if arm in analysis.networks_with_real:
        return said
    return {"helps": "is better", "hurts": "is worse"}.get(said, said)


def _count_of_images(asked: str) -> str:
    return f"{asked} real image{'' if asked == '1' else 's'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _span(low: float, high: float) -> str:
    return "not known" if math.isnan(low) else f"{signed(low)} to {signed(high)}"


def p_text(p: float) -> str:
    """A p-value as a reader sees it."""
    return "not known" if math.isnan(p) else "below 0.001" if p < 0.001 else f"{p:.3f}"


def signed(value: float, digits: int = 3) -> str:
    """With its sign, a real minus; a dash for what is not known."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def _and(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
