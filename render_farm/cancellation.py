"""Was one task cancelled, or all of them? The tasks of one scancel end one after the other."""

from dataclasses import dataclass, field

TOGETHER_S = 60.0  # ends of one scancel lie no further apart


@dataclass
class Cancellations:
    """Follows which of the attempts that were alive together were cancelled by somebody else."""

    _beside: set[str] = field(default_factory=set)  # alive when the first of this round was cancelled, itself included
    _struck: set[str] = field(default_factory=set)
    _since_s: float = 0.0

    def all_struck(self, cancelled: set[str], live: set[str], now_s: float) -> bool:
        """Whether all attempts of a round, two at least, are cancelled by now.

        `cancelled` have just ended by somebody's order, `live` have not ended; what was handed in
        since the round began does not count. A round is over when nothing of it is alive, or late.
        """
        if not cancelled:
            return False
        if not self._beside & (cancelled | live) or now_s - self._since_s > TOGETHER_S:
            self._beside, self._struck, self._since_s = cancelled | live, set(), now_s
        self._struck |= cancelled
        return len(self._struck) > 1 and self._beside <= self._struck
