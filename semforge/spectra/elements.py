"""Symbols of the elements."""

import re

SYMBOLS = tuple(
    """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo
    Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl
    Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am
    """.split()  # noqa: SIM905 - a table to be read
)  # by atomic number, from 1


def symbols_in(text: str) -> tuple[str, ...]:
    """The elements that a list names by symbol or atomic number; nothing if anything in it is neither."""
    found = []
    for part in re.split(r"[\s,;]+", text.strip()):
        if part.isdigit() and 1 <= int(part) <= len(SYMBOLS):
            found.append(SYMBOLS[int(part) - 1])
        elif part.capitalize() in SYMBOLS:
            found.append(part.capitalize())
        else:
            return ()
    return tuple(dict.fromkeys(found))
