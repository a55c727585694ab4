"""The colours of classes, the same in overlays, label maps, selections and pages."""

from sem_train.classes import ClassMap

# Okabe and Ito's colours, told apart also by colour-blind readers
OKABE_ITO = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (204, 121, 167), (240, 228, 66), (0, 114, 178))
# for maps of many phases, as far from those and from each other as many colours can be
FURTHER = (
    (118, 42, 131), (166, 118, 29), (166, 219, 120), (140, 20, 40), (40, 80, 60), (250, 170, 170), (40, 40, 120),
    (120, 200, 200), (190, 160, 220), (90, 60, 30), (230, 70, 140), (130, 140, 60), (190, 210, 240), (255, 200, 120),
    (60, 170, 60), (110, 110, 210), (200, 60, 60),
)  # fmt: skip
COLOURS = (*OKABE_ITO, *FURTHER)


def is_tinted(role: str) -> bool:
    """Whether classes of a role are coloured in pictures; what is around the specimen is not."""
    return role not in ("background", "outside")


def colour_of(name: str, classes: ClassMap) -> tuple[int, int, int]:
    """The colour of a class, red, green and blue of 0 to 255."""
    return COLOURS[classes.id_of(name) % len(COLOURS)]
