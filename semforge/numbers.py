"""Numbers on their way into files."""

import math
from typing import Any


def finite(value: Any) -> Any:
    """The same dictionaries and lists with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
