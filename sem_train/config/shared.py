"""What several settings share."""

from typing import Annotated

from pydantic import Field

UNLABELLED = 255  # class id of pixels that count neither in training nor in scores
PATCH_PX = 32  # encoders halve five times, so crops are multiples of this

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
