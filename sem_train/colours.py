"""The colours of classes, the same in overlays, label maps, selections and pages."""

from sem_train.classes import ClassMap

# Okabe and Ito's colours, told apart also by colour-blind readers
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (204, 121, 167), (240, 228, 66), (0, 114, 178))


def is_tinted(role: str) -> bool:
    """Whether classes of a role are coloured in pictures; what is around the specimen is not."""
    return role not in ("background", "outside")


def colour_of(name: str, classes: ClassMap) -> tuple[int, int, int]:
    """The colour of a class, red, green and blue of 0 to 255."""
    return COLOURS[classes.id_of(name) % len(COLOURS)]
