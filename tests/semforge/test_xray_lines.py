"""Lines of elements against tabulated energies."""

import pytest

from semforge.errors import InputError
from semforge.spectra.lines import edge_kev, fluorescence_yield, likely_labels, lines_of


# Bearden 1967, in keV
@pytest.mark.parametrize(
    ("name", "energy_kev"),
    [("C Kα", 0.277), ("O Kα", 0.525), ("Na Kα", 1.041), ("Al Kα", 1.487), ("Si Kα", 1.740), ("Ca Kα", 3.691),
     ("Fe Kα", 6.400), ("Fe Kβ", 7.058), ("Fe Lα", 0.705), ("Zn Lα", 1.012), ("Ba Lα", 4.466), ("Ti Kα", 4.509),
     ("Au Mα", 2.122), ("Pb Mα", 2.345), ("Yb Mα", 1.522)],
)  # fmt: skip
def test_energies(name, energy_kev):
    found = {line.name: line.energy_kev for line in lines_of(name.split()[0])}
    assert found[name] == pytest.approx(energy_kev, abs=0.004)


@pytest.mark.parametrize("element", ["C", "Al", "Ca", "Fe", "Ba", "Au", "Pb"])
def test_lines_of_a_shell_are_shares_of_one(element):
    lines = lines_of(element)
    assert list(lines) == sorted(lines, key=lambda line: line.energy_kev)
    for shell in {line.shell for line in lines}:
        assert 0 < sum(line.weight for line in lines if line.shell == shell) <= 1 + 1e-4
        assert 0 <= fluorescence_yield(element, shell) < 1


def test_a_beam_excites_what_lies_above_the_edge():
    assert {line.shell for line in lines_of("Fe", 7.0)} == {"L1", "L2", "L3"}
    assert "K" in {line.shell for line in lines_of("Fe", 7.2)}
    assert edge_kev("Fe", "K") == pytest.approx(7.112)
    assert lines_of("H", 15.0) == ()


def test_labels_of_a_plot():
    names = [line.name for line in likely_labels(["O", "Si", "Fe", "Ca", "Zn"], 15.0)]
    assert names == ["O Kα", "Fe Lα", "Zn Lα", "Si Kα", "Ca Kα", "Fe Kα", "Zn Kα"]
    assert [line.name for line in likely_labels(["Fe"], 15.0, last_kev=4.0)] == ["Fe Lα"]
    assert [line.name for line in likely_labels(["Zn"], 5.0)] == ["Zn Lα"]
    assert [line.name for line in likely_labels(["Au"], 15.0)] == ["Au Mα"]


def test_what_is_no_element_is_refused():
    with pytest.raises(InputError, match="'Qq' is not a chemical element"):
        lines_of("Qq")
