"""How the share of real crops changes over a training."""

import math
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from sem_train.config.shared import Share
from semforge.settings import Settings


class AnnealedShare(Settings):
    """A share of real crops that goes from `start` to `end` while the training goes from `from` to `to`.

    Both are shares of all steps; before and after, the share stays. `linear` goes straight, `cosine` slowly at
    both ends, `step` changes at `to` at once: pretraining and fine-tuning in one run.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    start: Share
    end: Share
    shape: Literal["linear", "cosine", "step"] = "linear"
    begin: Share = Field(0.0, alias="from")
    to: Share = 1.0

    @model_validator(mode="after")
    def _goes_somewhere(self) -> "AnnealedShare":
        if self.shape == "step" and self.begin:
            raise ValueError(f"'from' is {self.begin:g}, but a step has none: it happens at 'to'")
        if self.shape == "step" and self.to in (0, 1):
            raise ValueError(f"'to' is {self.to:g}, expected above 0 and below 1 for a step")
        if self.begin >= self.to:
            raise ValueError(f"'from' is {self.begin:g} and 'to' {self.to:g}, expected 'from' below 'to'")
        return self

    @property
    def mean(self) -> float:
        """Share of real crops over the whole training."""
        return self.until(1.0)

    def until(self, progress: float) -> float:
        """The share integrated from the beginning to `progress`, a share of the training; beyond 1 it stays `end`."""
        first = min(progress, self.begin if self.shape != "step" else self.to)
        last = max(progress - self.to, 0.0)
        between = progress - first - last
        if between <= 0:
            return first * self.start + last * self.end
        span = self.to - self.begin
        x = between / span
        # integral over x of the way that is gone: of x itself, or of (1 - cos πx) / 2
        gone = x * x / 2 if self.shape == "linear" else x / 2 - math.sin(math.pi * x) / (2 * math.pi)
        return first * self.start + between * self.start + span * gone * (self.end - self.start) + last * self.end


def require_what_is_mixed(synthetic: bool, real: bool, real_share: float) -> None:
    """Raise ValueError where a share of real or synthetic data is asked for and there is none of that kind."""
    if not synthetic and not real:
        raise ValueError("neither 'synthetic' nor 'real' data is given, expected one at least")
    if real_share > 0 and not real:
        raise ValueError("'real_fraction' is above 0 but there is no 'real' data")
    if real_share < 1 and not synthetic:
        raise ValueError("'real_fraction' is below 1 but there is no 'synthetic' data")
