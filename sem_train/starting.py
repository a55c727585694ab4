"""Where a run begins: the weights of an earlier run, and what that run has seen."""

from collections.abc import Iterable

from torch import nn

from sem_train.config import ModelSettings, Plan
from sem_train.data import Picture
from sem_train.inference import Checkpoint, TrainedOn, read_checkpoint
from semforge.errors import InputError

INITIAL = {"weights", "start_from"}  # settings that say where weights come from, not what network they are of


def begin_from(plan: Plan, network: nn.Module, held_out: Iterable[Picture]) -> TrainedOn:
    """Load the weights that `model.start_from` names into `network`; gives what they were trained on.

    Raises InputError if there is no such checkpoint, if it is of another network or of other classes, or if it was
    trained on a picture or a specimen that is held out now.
    """
    if plan.model.start_from is None:
        return TrainedOn()
    start = read_checkpoint(plan.model.start_from)
    _refuse_other_network(start, plan)
    _refuse_seen(start, held_out)
    start.load_into(network)
    return start.trained_on


def _refuse_other_network(start: Checkpoint, plan: Plan) -> None:
    theirs, ours = _described(start.plan.model), _described(plan.model)
    for key in ours:
        if theirs[key] != ours[key]:
            raise InputError(
                f"model.start_from: {start.path} has model.{key} {theirs[key]}, this run {ours[key]}, expected the same"
            )
    names, wanted = ([*classes.names] for classes in (start.plan.classes, plan.classes))
    if names != wanted:
        raise InputError(
            f"model.start_from: {start.path} has classes {', '.join(names)}, this run {', '.join(wanted)}, "
            "expected the same in the same order"
        )


def _described(model: ModelSettings) -> dict[str, object]:
    return model.model_dump(exclude=INITIAL)


def _refuse_seen(start: Checkpoint, held_out: Iterable[Picture]) -> None:
    seen = start.trained_on
    for picture in held_out:
        known = seen.samples if picture.origin == "synthetic" else seen.images
        if picture.identity in known or (picture.origin == "real" and picture.specimen in seen.specimens):
            raise InputError(
                f"{picture.name} (held out) is of what {start.path} was trained on (model.start_from); "
                "hold it out there too"
            )
