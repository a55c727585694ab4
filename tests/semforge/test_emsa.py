"""Spectra in EMSA/MAS format: what is written is read again, and what instruments write is understood."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semforge.errors import InputError
from semforge.spectra import EnergyAxis, Spectrum, is_empty, read_spectrum, write_emsa
from semforge.spectra.emsa import parse_emsa

ROOT = Path(os.environ.get("SEMFORGE_DATA") or Path(__file__).parents[3] / "shared/real")
MINERALS = ("albite", "apatite", "biotite", "chlorite", "enstatite", "kaolinite", "microcline", "montmorillonite",
            "oligoclase", "pigeonite")  # fmt: skip
WORDS = st.text("abcXYZ 0123456789µ°é-_/:#", max_size=20).map(lambda text: " ".join(text.split()))


def emsa(*values, lines=None, **header):
    """A file as text: keywords as given, then the numbers, one a line unless `lines` says else."""
    said = {"FORMAT": "EMSA/MAS Spectral Data File", "NPOINTS": len(values), "XUNITS": "eV", "DATATYPE": "Y",
            "XPERCHAN": "10.0", "OFFSET": "0.0", "SIGNALTYPE": "EDS"} | header  # fmt: skip
    head = [f"#{key:<12}: {value}" for key, value in said.items() if value is not None]
    body = [str(v) for v in values] if lines is None else lines
    return "\r\n".join([*head, "#SPECTRUM    : ", *body, "#ENDOFDATA   : "])


@given(
    counts=st.one_of(
        st.lists(st.integers(0, 2**40), min_size=1, max_size=40),
        st.lists(st.floats(0, 1e9, allow_subnormal=False), min_size=1, max_size=40),
    ),
    width=st.floats(0.5, 100).map(lambda v: float(f"{v:.6g}")),
    offset=st.floats(-1000, 1000).map(lambda v: float(f"{v:.6g}")),
    conditions=st.tuples(*[st.none() | st.floats(0.001, 90)] * 3),
    title=WORDS,
    owner=WORDS,
)
def test_what_is_written_is_read_again(tmp_path_factory, counts, width, offset, conditions, title, owner):
    path = tmp_path_factory.getbasetemp() / "again.msa"
    beam, live, angle = conditions
    metadata = {"elements": "O,Fe", "resolution_ev": "128.5"} | ({"OWNER": owner} if owner else {})
    written = Spectrum(np.array(counts), EnergyAxis(len(counts), width, offset), beam, live, angle, title, metadata)
    write_emsa(path, written)
    read = read_spectrum(path)
    assert np.array_equal(read.counts, written.counts)
    assert (read.axis, read.title, read.metadata) == (written.axis, title, metadata)
    assert (read.beam_kev, read.live_s, read.take_off_deg) == conditions


@given(st.text(max_size=300), st.sampled_from(["", "#FORMAT : EMSA\n", emsa(1, 2, 3)[:-15], "#SPECTRUM\n1\n"]))
def test_any_text_is_a_spectrum_or_said_to_be_none_in_one_line(text, before):
    try:
        found = parse_emsa(before + text)
    except InputError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert (found.counts >= 0).all() and np.isfinite(found.counts.astype(float)).all()


@given(
    counts=st.lists(st.integers(0, 9999), min_size=2, max_size=30),
    columns=st.integers(1, 5),
    separator=st.sampled_from([", ", ",", " ", "\t", " ; ", "      , "]),
    end=st.sampled_from(["", ",", ", "]),
    form=st.sampled_from(["{}", "{}.", "{}.0", "{:.2f}", "{:.3e}"]),
)
def test_columns_and_separators(counts, columns, separator, end, form):
    tokens = [form.format(c) for c in counts]
    lines = [separator.join(tokens[i : i + columns]) + end for i in range(0, len(tokens), columns)]
    read = parse_emsa(emsa(lines=lines, NPOINTS=f"{len(counts)}.0", NCOLUMNS=columns))
    expected = [float(token) for token in tokens]
    assert read.counts.tolist() == expected
    assert read.counts.dtype == np.int64


def test_energies_beside_the_counts_make_the_axis():
    lines = [f"{e:.2f},   {c}" for e, c in zip(np.arange(-20, 30, 10), (1, 2, 3, 4, 5), strict=True)]
    read = parse_emsa(emsa(lines=lines, NPOINTS=5, DATATYPE="XY", OFFSET="0.0"))
    assert read.axis == EnergyAxis(5, 10, -20)
    assert read.counts.tolist() == [1, 2, 3, 4, 5]
    kev = [f"{e:.3f} {c}" for e, c in zip(np.arange(5) * 0.01 - 0.02, (1, 2, 3, 4, 5), strict=True)]
    assert parse_emsa(emsa(lines=kev, NPOINTS=5, DATATYPE="XY", XUNITS="keV", XPERCHAN="0.01")).axis == read.axis
    with pytest.raises(InputError, match="XPERCHAN says 5 eV a channel, the energies lie 10 eV apart"):
        parse_emsa(emsa(lines=lines, NPOINTS=5, DATATYPE="XY", XPERCHAN="5"))
    with pytest.raises(InputError, match="not of equal width: channel 3"):
        parse_emsa(emsa(lines=["0, 1", "10, 1", "20, 1", "37, 1", "40, 1"], NPOINTS=5, DATATYPE="XY"))
    with pytest.raises(InputError, match="do not rise"):
        parse_emsa(emsa(lines=["40, 1", "30, 1", "20, 1"], NPOINTS=3, DATATYPE="XY"))


@pytest.mark.parametrize(
    ("unit", "width", "offset"),
    [("keV", "0.01", "-0.02"), ("Energy (EV)", "10", "-20"), ("X-RAY keV", "0.010", "-0.020"), ("", "0.01", "-0.02"),
     ("", "10.", "-20."), ("eV", "1.0E+01", "-2.0e1")],
)  # fmt: skip
def test_electronvolts_and_thousands_of_them(unit, width, offset):
    read = parse_emsa(emsa(1, 2, 3, XUNITS=unit, XPERCHAN=width, OFFSET=offset))
    assert read.axis == EnergyAxis(3, 10, -20)


def test_commas_as_decimal_signs():
    head = {"XPERCHAN": "10,0", "OFFSET": "-20,5", "BEAMKV   -kV": "15,0", "LIVETIME  -s": "9,75", "NPOINTS": "3,0"}
    read = parse_emsa(emsa(lines=["1,5", "2,0", "3,25"], **head))
    assert read.counts.tolist() == [1.5, 2.0, 3.25]
    assert (read.axis, read.beam_kev, read.live_s) == (EnergyAxis(3, 10, -20.5), 15.0, 9.75)
    read = parse_emsa(emsa(lines=["0,00; 1,5", "10,00; 2,0"], NPOINTS=2, DATATYPE="XY"))
    assert (read.counts.tolist(), read.axis) == ([1.5, 2.0], EnergyAxis(2, 10))
    read = parse_emsa(emsa(lines=["1,0, 2,0,", "3,0"], NPOINTS=3, NCOLUMNS=2))
    assert read.counts.tolist() == [1, 2, 3]
    # four whole numbers, as the file says, and no decimals
    assert parse_emsa(emsa(lines=["1,5", "2,0"], NPOINTS=4, NCOLUMNS=2)).counts.tolist() == [1, 5, 2, 0]
    assert parse_emsa(emsa(*range(1024), NPOINTS="1,024")).axis.channels == 1024


def test_what_is_known_of_how_it_was_taken():
    read = parse_emsa(emsa(
        7, 8, **{"TITLE": "grain 4", "BEAMKV   -kV": "15.0", "LIVETIME  -s": "10", "ELEVANGLE-dg": "35.0",
                 "REALTIME  -s": "0.0", "#TakeOff Angle": "36.8", "#MNFWHM -keV": "0.1328904",
                 "#Elements": "8,11,14,26", "OWNER": "me", "COMMENT": "first"},
    ) + "\r\n#CHECKSUM : 12 is behind the end")  # fmt: skip
    assert (read.title, read.beam_kev, read.live_s, read.take_off_deg) == ("grain 4", 15.0, 10.0, 36.8)
    assert (read.elements, read.resolution_ev) == (("O", "Na", "Si", "Fe"), pytest.approx(132.8904))
    assert read.metadata["OWNER"] == "me" and "CHECKSUM" not in read.metadata
    assert parse_emsa(emsa(7, 8, **{"#IDENT": "O,Fe"})).elements == ("O", "Fe")
    assert parse_emsa(emsa(7, 8, OXINSTELEMS="8,26")).elements == ("O", "Fe")
    unclear = parse_emsa(emsa(7, 8, **{"#IDENT": "grain"}))
    assert (unclear.elements, unclear.metadata["IDENT"]) == ((), "grain")
    plain = parse_emsa(emsa(7, 8, **{"BEAMKV": "0.0", "LIVETIME": "", "ELEVANGLE": "unknown"}))
    assert (plain.beam_kev, plain.live_s, plain.take_off_deg, plain.elements) == (None, None, None, ())
    two = parse_emsa(emsa(7, 8).replace("#SPECTRUM", "#COMMENT : one\r\n#COMMENT : two\r\n#SPECTRUM"))
    assert two.metadata["COMMENT"] == "one\ntwo"


def test_a_file_without_an_end_is_read_if_nothing_is_missing():
    whole = emsa(1, 2, 3)
    assert parse_emsa(whole.replace("#ENDOFDATA   : ", "")).counts.tolist() == [1, 2, 3]
    with pytest.raises(InputError, match=r"NPOINTS is 4, but .* 3 values and no '#ENDOFDATA': it was cut off"):
        parse_emsa(emsa(1, 2, 3, NPOINTS=4).replace("#ENDOFDATA   : ", ""))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (emsa(1, 2, 3, NPOINTS=4), "NPOINTS is 4, but the file has 3 values"),
        (emsa(1, 2, 3, NPOINTS=2), "NPOINTS is 2, but the file has 3 values"),
        (emsa(1, 2, NPOINTS="-2"), "NPOINTS is '-2', expected a whole number"),
        (emsa(1, 2, NPOINTS="many"), "NPOINTS is 'many', expected a number"),
        (emsa(1, "NaN", 3), r"line 10 holds 'NaN', expected a number of counts"),
        (emsa(1, "1e999", 3), r"line 10 holds '1e999'"),
        (emsa(1, "1_0", 3), r"line 10 holds '1_0'"),
        (emsa(1, -2, 3), "channel 1 holds -2; expected counts as measured"),
        (emsa(NPOINTS=0), "no counts after '#SPECTRUM'"),
        (emsa(1, 2, XPERCHAN=None), "says no energy a channel"),
        (emsa(1, 2, XPERCHAN="0"), "says no energy a channel"),
        (emsa(1, 2, XUNITS="nm"), "XUNITS is 'nm', expected eV or keV"),
        (emsa(1, 2, XUNITS="keV"), "2 channels of 10000 eV from 0, expected channels of 0.1 to 1000 eV"),
        (emsa(1, 2, SIGNALTYPE="ELS"), "SIGNALTYPE is ELS, expected EDS"),
        (emsa(1, 2, DATATYPE="XYZ"), "DATATYPE is 'XYZ', expected Y or XY"),
        (emsa(1, 2, 3, DATATYPE="XY"), "which is odd"),
        (emsa(1, 2, BEAMKV="15000"), "BEAMKV is 15000, expected kilovolts"),
        ("#FORMAT : EMSA\r\n#NPOINTS: 3", "no line '#SPECTRUM'"),
        ("energy,counts\r\n1,2", "line 1 is 'energy,counts', expected a line '#KEYWORD: value'"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(text, said, tmp_path):
    path = tmp_path / "broken.msa"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        read_spectrum(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    for content, said in ((b"", "is empty"), (b"\r\n \r\n", "is empty"), (b"II*\0\x08\0", "is not text")):
        (tmp_path / "x.msa").write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_spectrum(tmp_path / "x.msa")
    with pytest.raises(InputError, match="no such file, expected a spectrum"):
        read_spectrum(tmp_path / "none.msa")
    with pytest.raises(InputError, match="is a folder"):
        read_spectrum(tmp_path)
    (tmp_path / "latin.msa").write_bytes(emsa(1, 2, TITLE="5 µm").encode("latin-1"))
    assert read_spectrum(tmp_path / "latin.msa").title == "5 µm"
    (tmp_path / "mark.msa").write_bytes(emsa(1, 2, TITLE="5 µm").encode("utf-8-sig"))
    assert read_spectrum(tmp_path / "mark.msa").title == "5 µm"


def test_a_spectrum_without_counts_is_empty_whatever_the_zero_peak_holds():
    axis = EnergyAxis(100, 10, -50)
    noise = np.where(axis.energies_kev < 0.05, 500, 0)
    assert Spectrum(np.zeros(100, np.uint16), axis).empty
    assert Spectrum(noise, axis).empty and Spectrum(noise, axis).total == 0
    once = noise.copy()
    once[axis.channel_of(0.525)] = 1
    assert not Spectrum(once, axis).empty and Spectrum(once, axis).total == 1
    assert is_empty(np.array([[noise, once], [0 * noise, once]]), axis).tolist() == [[True, False], [True, False]]
    with pytest.raises(InputError, match=r"shape \(99,\) on 100 channels of 10 eV from -50"):
        Spectrum(np.zeros(99), axis)


@pytest.mark.parametrize("mineral", MINERALS)
def test_real_minerals(mineral):
    path = ROOT / "eds_minerals" / f"{mineral}.msa"
    if not path.exists():
        pytest.skip("the real spectra are not at hand")
    read = read_spectrum(path)
    assert read.axis == EnergyAxis(4096, 10)
    assert (read.beam_kev, read.live_s) == (15.0, 10.0)
    assert 36 < read.take_off_deg < 38 and 120 < read.resolution_ev < 135
    assert "O" in read.elements or mineral in ("enstatite", "pigeonite")  # their operators left oxygen out
    assert read.counts.dtype == np.int64 and not read.empty
    # an independent sum: the last number of every line of two
    lines = path.read_text().split("#SPECTRUM")[1].splitlines()[1:-1]
    assert read.counts.sum() == sum(float(line.split(",")[1]) for line in lines if "," in line)
    near_oxygen = read.axis.channels_between(0.45, 0.62)
    peak = near_oxygen.start + int(np.argmax(read.counts[near_oxygen]))
    assert read.axis.energies_kev[peak] == pytest.approx(0.525, abs=0.021)


@pytest.mark.parametrize(
    ("name", "axis", "live_s", "take_off_deg", "resolution_ev"),
    [
        ("quanta_semcal.msa", EnergyAxis(4096, 5, -478.3), 25.917, 35.0, 132.8904),  # four columns, keV
        ("quattro_cemas.msa", EnergyAxis(4096, 10), 10.0, 36.8, 126.2),  # energies beside counts
        ("phenom_berea.emsa", EnergyAxis(2048, 9.8217, -43.3219), 4.5606, 28.5, 127.4039),
    ],
)
def test_real_files_of_three_instruments(name, axis, live_s, take_off_deg, resolution_ev):
    path = ROOT / "instrument" / name
    if not path.exists():
        pytest.skip("the instruments' files are not at hand")
    read = read_spectrum(path)
    assert (read.axis, read.beam_kev, read.live_s, read.take_off_deg) == (axis, 15.0, live_s, take_off_deg)
    assert read.resolution_ev == pytest.approx(resolution_ev)
    silicon = read.axis.channels_between(1.6, 1.9)
    peak = silicon.start + int(np.argmax(read.counts[silicon]))
    assert read.axis.energies_kev[peak] == pytest.approx(1.74, abs=0.015)
