"""Electron yields and ranges against published and independently computed values."""

import pytest

from blender_gen.phases import element_backscatter, materials, parse_formula

# Hunger & Küchler 1979, evaluated independently at 15 and 20 kV
ELEMENTS = {"C": (6, 0.0624, 0.0583), "Al": (13, 0.1567, 0.1515), "Si": (14, 0.1688, 0.1636),
            "Cr": (24, 0.2675, 0.2637), "Fe": (26, 0.2832, 0.2798), "Ag": (47, 0.3979, 0.3983),
            "Au": (79, 0.4791, 0.4839)}  # fmt: skip
COMPOUNDS = {"SiO2": (0.1270, 0.1221), "Fe2Al5": (0.2140, 0.2096), "FeAl": (0.2420, 0.2380),
             "Yb2Si2O7": (0.3497, 0.3506)}  # fmt: skip


@pytest.mark.parametrize(("z", "at_15", "at_20"), ELEMENTS.values(), ids=ELEMENTS)
def test_backscatter_of_elements(z, at_15, at_20):
    assert element_backscatter(z, 15) == pytest.approx(at_15, abs=5e-4)
    assert element_backscatter(z, 20) == pytest.approx(at_20, abs=5e-4)


@pytest.mark.parametrize(("name", "values"), COMPOUNDS.items())
def test_backscatter_of_compounds(name, values):
    found = [materials()[name].backscatter_coefficient(kev) for kev in (15, 20)]
    assert found == pytest.approx(values, abs=5e-4)


@pytest.mark.parametrize(("name", "range_um"), [("Al", 4.19), ("Fe", 1.61), ("Fe2Al5", 2.87), ("FeAl", 2.20)])
def test_kanaya_okayama_range_at_20_kv(name, range_um):
    assert materials()[name].range_um(20) == pytest.approx(range_um, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "mean_z"), [("epoxy", 7.1), ("Fe2Al5", 18.9), ("Yb2Si2O7", 50.4), ("SiO2", 10.8), ("steel_9Cr", 26.0)]
)
def test_mean_atomic_number(name, mean_z):
    assert materials()[name].mean_atomic_number == pytest.approx(mean_z, abs=0.11)


def test_contrast_order_of_an_aluminide_coating():
    order = ["epoxy", "Fe2Al5", "FeAl", "AlCr2", "Cr", "steel_9Cr"]
    yields = [materials()[name].backscatter_coefficient(20) for name in order]
    assert yields == sorted(yields)


def test_formula_mass_fractions():
    fractions = parse_formula("SiO2")
    assert fractions["Si"] == pytest.approx(28.085 / (28.085 + 2 * 15.999))
    assert sum(fractions.values()) == pytest.approx(1)


@pytest.mark.parametrize("text", ["fe2", "Fe2Al5!", "Qq3", ""])
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ValueError):
        parse_formula(text)


@pytest.mark.parametrize(
    ("name", "at_15_kev", "at_20_kev"),
    [
        ("carbon", 0.093, 0.077), ("Al", 0.093, 0.077), ("Fe", 0.147, 0.121), ("Cu", 0.193, 0.159),
        ("Ag", 0.269, 0.222), ("Au", 0.251, 0.207), ("Si", 0.091, 0.075), ("SiO2", 0.292, 0.241),
    ],
)  # fmt: skip
def test_secondary_yields(name, at_15_kev, at_20_kev):
    """Lin & Joy 2005 with the parameters of the table, to its last digit."""
    assert materials()[name].secondary_yield(15) == pytest.approx(at_15_kev, abs=6e-4)
    assert materials()[name].secondary_yield(20) == pytest.approx(at_20_kev, abs=6e-4)


def test_the_largest_secondary_yield_lies_where_the_table_says():
    """Lin & Joy: the maximum of the universal curve is 1.025 delta_m, near E_m."""
    iron = materials()["Fe"]
    energies = [iron.secondary_kev * (0.5 + 0.01 * i) for i in range(200)]
    yields = [iron.secondary_yield(kev) for kev in energies]
    assert max(yields) == pytest.approx(1.025 * iron.secondary_max, rel=0.01)
    assert energies[yields.index(max(yields))] == pytest.approx(iron.secondary_kev, rel=0.1)


def test_materials_without_secondary_yields_fall_back_on_a_conductor_or_an_insulator():
    assert (materials()["Cr"].secondary_max, materials()["Cr"].secondary_kev) == (1.3, 0.4)
    assert (materials()["Al2O3"].secondary_max, materials()["Al2O3"].secondary_kev) == (2.5, 0.42)
    assert materials()["Al2O3"].insulator
    assert not materials()["Cr"].insulator
