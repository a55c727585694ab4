"""What may stand beside a scale bar: numbers that people draw, and units."""

from functools import cache

NUMBERS = (
    "0.1", "0.2", "0.25", "0.5", "1", "1.0", "1.00", "2", "2.0", "2.00", "2.5", "3", "3.0", "3.00", "4", "4.0", "4.00",
    "5", "5.0", "5.00", "10", "10.0", "15", "20", "20.0", "25", "30", "30.0", "40", "40.0", "50", "50.0", "60", "80",
    "100", "120", "150", "200", "250", "300", "400", "500", "600", "800", "1000",
)  # fmt: skip
UNITS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3}
JOINED = ("nm", "µm", "um", "mm", "00", "0n", "0µ", "0u", "0m", "10", "20", "50", ".0", ".5", "1.", "0.")  # touching


@cache
def words() -> dict[str, float]:
    """All labels without spaces, and the lengths in µm that they mean."""
    return {number + unit: float(number) * um for number in NUMBERS for unit, um in UNITS.items()}


@cache
def pieces() -> tuple[str, ...]:
    """The characters that labels are made of, and pairs of them that often touch."""
    return (*sorted({character for word in words() for character in word}), *JOINED)


@cache
def splits(word: str, count: int) -> tuple[tuple[int, ...], ...]:
    """All ways to take a word apart into so many pieces, as places in `pieces()`."""
    places = {piece: i for i, piece in enumerate(pieces())}
    if count == 0:
        return ((),) if not word else ()
    found = []
    for length in (1, 2):
        if len(word) >= length and word[:length] in places:
            found += [(places[word[:length]], *rest) for rest in splits(word[length:], count - 1)]
    return tuple(found)
