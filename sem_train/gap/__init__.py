"""How far a synthetic set of micrographs is from a real one."""

from sem_train.gap.comparison import Gap, GapSettings, Side, measure_gap
from sem_train.gap.image_sets import GreyImage, ImageSet, read_image_set

__all__ = ["Gap", "GapSettings", "GreyImage", "ImageSet", "Side", "measure_gap", "read_image_set"]
