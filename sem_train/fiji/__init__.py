"""To Fiji and back: lines and outlines as ImageJ selections (ROIs), and what a person made of them."""

from sem_train.fiji.corrected import Corrected, LineCorrection, read_corrected
from sem_train.fiji.lines import LINES, LineStatistics, MeasuringLine, lay_lines, line_statistics
from sem_train.fiji.selections import write_rois
from sem_train.fiji.training_labels import corrected_labels

__all__ = [
    "LINES", "Corrected", "LineCorrection", "LineStatistics", "MeasuringLine", "corrected_labels", "lay_lines",
    "line_statistics", "read_corrected", "write_rois",
]  # fmt: skip
