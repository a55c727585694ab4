"""What a unit says of a quantity: how it goes with the pixel size."""

import re

LENGTH = re.compile(r"(1/)?(nm|um|µm|mm|px)(\^(\d))?")


def length_power(unit: str) -> int:
    """1 for lengths, 2 for areas, -2 for numbers per area ...; 0 for what does not depend on the pixel size."""
    found = LENGTH.fullmatch(unit)
    if found is None:
        return 0
    power = int(found[4] or 1)
    return -power if found[1] else power
