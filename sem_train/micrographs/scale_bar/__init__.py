"""The scale bar in a picture: how long it is and what the label beside it says."""

from sem_train.micrographs.scale_bar.reading import ScaleBar, read_scale_bar, scale_by_bar

__all__ = ["ScaleBar", "read_scale_bar", "scale_by_bar"]
