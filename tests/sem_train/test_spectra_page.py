"""The page of X-ray results: what it says, that it is complete, and how it behaves in a browser.

The latter needs chromium: skipped without it, but a failure where SEMFORGE_CHROMIUM=required.
"""

import base64
import io
import re
import subprocess
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from browser import DESKTOP, FAINT, NAMELESS, PHONE, outside
from PIL import Image
from x_ray_results import NAMES, SHARES, card, phases, spectrum

from sem_train.certificate.pictures import budget
from sem_train.colours import COLOURS
from sem_train.spectra.contents import Card, ShownTable
from sem_train.spectra.page import FADE, MOST_ROWS, legend_of, phases_view, share_rows, svg_uri, table_view, write_page

KINDS = ("linear", "logarithmic")
KEYS = (("0.93", "share of particles that were named"), ("412", "particles"))


def write(path, cards, **more):
    given = {"keys": KEYS, "warnings": ("No scale <known>.",), "shares": SHARES, "provenance": {"model": "runs/a"},
             "command": "sem-train map predict x"}  # fmt: skip
    write_page(path, "Filter <7> & Co", cards, **(given | more))
    return path


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return write(tmp_path_factory.mktemp("one") / "page.html", [card("a<b>&\"'")])


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    plain = Card("no picture", phases=phases(), spectra=(spectrum(),))
    return write(tmp_path_factory.mktemp("two") / "page.html", [card(), plain])


def picture(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGBA"))


def test_the_page_says_everything_and_asks_for_nothing(one):
    text = one.read_text(encoding="utf-8")
    for said in ("Filter &lt;7&gt; &amp; Co", "No scale &lt;known&gt;.", "0.93", "share of particles that were named",
                 "salt &lt;&amp;&gt;", "45 to 56", "at 15 kV only", "64 × 48 pixels", "2 spectra are empty.",
                 "Net counts.", "named quartz, 0.93", "1 more spectra", "Particles", "diameter, µm", "brighter: more",
                 "runs/a", "sem-train map predict x", "a&lt;b&gt;&amp;&#34;&#39;"):  # fmt: skip
        assert said in text, said
    assert not re.search(r'(?:src|href|url)\s*[=(]\s*"?\s*(?!data:|#|%23)[\w/.]', text.split("<body>")[1])
    assert "a<b>" not in text


def test_a_page_of_nothing_but_tables(tmp_path):
    table = ShownTable("Named", ("file", "phase"), (("a.msa", "quartz"), ("b.msa", None)))
    write_page(tmp_path / "page.html", "Spectra", [], tables=[table], about="Two spectra")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Two spectra" in text and "b.msa" in text and "Before believing it" not in text
    assert 'class="tools"' not in text


def test_what_is_to_be_said_of_all_shares_is_said_once(tmp_path):
    same = [replace(share, note="Wilson, 240 particles") for share in SHARES]
    assert write(tmp_path / "page.html", [], shares=same).read_text(encoding="utf-8").count("Wilson, 240") == 1
    same[0] = replace(same[0], note="another")
    assert write(tmp_path / "page.html", [], shares=same).read_text(encoding="utf-8").count("Wilson, 240") == 2


def test_a_phase_has_one_colour_on_all_cards():
    legend = legend_of([Card("a", phases=phases())], SHARES)
    first = phases_view(phases(), budget(1), legend)
    turned = phases()
    swapped = np.array([1, 0, 2, -1])[turned.phases]
    names = (NAMES[1], NAMES[0], NAMES[2])
    other = phases_view(type(turned)(swapped, names, pixel_size_um=0.5), budget(1), legend)
    assert first.mask == other.mask and first.legend == other.legend
    assert list(legend) == [*NAMES] and [kind.colour for kind in legend.values()] == list(COLOURS[:3])


def test_the_mask_lies_where_the_phases_are():
    shown = phases(micrograph=np.full((96, 128), 7, np.uint8))
    view = phases_view(shown, budget(1), legend_of([Card("a", phases=shown)]))
    mask = picture(view.mask)
    assert mask.shape[:2] == (view.height, view.width) == (96, 128)
    there = shown.phases.repeat(2, 0).repeat(2, 1)
    assert not mask[there == -1][:, 3].any()
    for k in range(3):
        assert (mask[there == k][:, :3] == COLOURS[k]).all() and (mask[there == k][:, 3] >= 140).all()
    assert {name.text for name in view.names} == set(NAMES)
    for name in view.names:
        assert NAMES[there[int(name.y * 96), int(name.x * 128)]] == name.text
    assert view.bar.length_um == 5 and view.fade == FADE
    small = phases_view(phases(), budget(1), legend_of([Card("a", phases=phases())]))
    assert small.fade == 100 and small.width >= 480  # without a micrograph the phases stand alone


def test_shares_are_rounded_to_their_intervals():
    rows = {row.name: row for row in share_rows(SHARES, {})}
    assert (rows["quartz"].share, rows["quartz"].interval, rows["quartz"].count) == ("50", "45 to 56", "120")
    assert (rows["quartz"].percent, rows["quartz"].low, rows["quartz"].high) == (50, 45, pytest.approx(56))


def test_tables_know_numbers_from_words():
    table = ShownTable("t", ("name", "n", "share", "mixed"), (("a", 3, 0.12345, 1), ("b", None, np.float32(2), "x")))
    view = table_view(table)
    assert view.headings == (("name", "text"), ("n", "number"), ("share", "number"), ("mixed", "text"))
    assert [cell.text for cell in view.rows[0]] == ["a", "3", "0.123", "1"]
    assert [cell.text for cell in view.rows[1]] == ["b", "–", "2.00", "x"]
    assert [cell.sort for cell in view.rows[1]] == ["b", "", "2", "x"]
    long = table_view(ShownTable("t", ("k",), tuple((k,) for k in range(MOST_ROWS + 5)), "All in t.csv."))
    assert len(long.rows) == MOST_ROWS and long.note == "The first 2000 of 2005 rows. All in t.csv."


def test_figures_are_short_but_whole():
    svg = '<svg><path d="M 1.23456 7.1 L 2.5 3.999999"/><g transform="scale(0.015625 -0.015625)"/></svg>'
    text = base64.b64decode(svg_uri(svg).partition(",")[2]).decode()
    assert text == '<svg><path d="M 1.23 7.1 L 2.5 3.99"/><g transform="scale(0.015625 -0.015625)"/></svg>'


def test_the_page_opens_and_all_pictures_are_drawn(show, one, two):
    for path, cards in ((one, 1), (two, 2)):
        page = show(path)
        assert page.locator(".card").count() == cards
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        sizes = page.evaluate(
            "Promise.all([...document.querySelectorAll('img')].map(i => { i.loading = 'eager'; "
            "return i.decode().then(() => i.naturalWidth * i.naturalHeight); }))"
        )
        assert len(sizes) > 4 and min(sizes) > 0


def test_the_micrograph_is_under_the_mask(show, one):
    page = show(one)
    boxes = [page.locator(f"#field-1 .{name}").bounding_box() for name in ("micrograph", "mask")]
    assert boxes[0] == boxes[1] and boxes[0]["width"] > 300
    bar, frame = (page.locator(f"#field-1 {name}").bounding_box() for name in (".bar i", ".frame"))
    assert bar["width"] / frame["width"] == pytest.approx(5 / 32, rel=0.02)  # 5 µm of 32


def test_counts_become_logarithmic(show, two):
    page = show(two)
    first, second = (page.locator(f"#field-{k} .spectrum").first for k in (1, 2))
    display = lambda image: image.evaluate("e => getComputedStyle(e).display")
    seen = lambda: [tuple(display(one.locator(f".{kind}")) != "none" for kind in KINDS) for one in (first, second)]
    assert seen() == [(True, False), (True, False)]
    page.locator("#field-2").scroll_into_view_if_needed()
    page.locator("#field-2 input[data-toggle=linear]").uncheck()
    assert seen() == [(True, False), (False, True)]
    page.locator(".tools input[data-toggle=linear]").uncheck()
    assert seen() == [(False, True), (False, True)]


def test_phases_fade(show, two):
    page = show(two)
    opacity = lambda k: float(page.locator(f"#field-{k} .mask").evaluate("e => getComputedStyle(e).opacity"))
    assert (opacity(1), opacity(2)) == (FADE / 100, 1.0)
    page.locator(".fade-all").focus()
    page.keyboard.press("Home")
    assert (opacity(1), opacity(2)) == (0, 0)
    page.locator("#field-1 .fader input").focus()
    page.keyboard.press("End")
    assert (opacity(1), opacity(2)) == (1, 0)
    page.locator("#field-1 input[data-toggle=outlines]").uncheck()
    assert not page.locator("#field-1 .name").first.is_visible()


def test_tables_sort(show, one):
    page = show(one)
    column = lambda table, k: page.locator(table).evaluate(
        f"t => [...t.tBodies[0].rows].map(r => r.cells[{k}].innerText)"
    )
    table = "#field-1 details.all table"
    page.locator(f"{table} >> text=probability").click()
    assert column(table, 3)[0] == "0" and column(table, 3)[-1] == "–"
    page.locator(f"{table} >> text=probability").click()
    assert column(table, 3)[0] == "1.10" and column(table, 3)[-1] == "–"
    shares = "#results table.shares"
    page.locator(f"{shares} >> text=95 % interval").click()
    assert column(shares, 0)[0].strip() == "not named"


def test_finding_a_phase(show, two):
    page = show(two)
    page.get_by_role("searchbox").fill("no picture quartz")
    assert page.locator(".card:visible").count() == 1
    assert page.locator(".told").inner_text() == "1 of 2 shown"
    page.get_by_role("searchbox").fill("")
    assert page.locator(".told").inner_text() == "2 fields"


@pytest.mark.parametrize("viewport", [PHONE, {"width": 768, "height": 1024}, DESKTOP])
def test_nothing_is_wider_than_the_screen(show, one, two, viewport):
    for path in (one, two):
        page = show(path, viewport)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert outside(page) == []


def test_in_print_everything_is_there(show, two, tmp_path):
    page = show(two)
    page.get_by_role("searchbox").fill("no picture")
    page.locator(".fade-all").focus()
    page.keyboard.press("Home")
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True, print_background=True)
    command = ["pdftotext", "-layout", str(tmp_path / "page.pdf"), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for said in ("field 1", "no picture", "grain 6", "iron oxide", "Particles", "Provenance"):
        assert said in text, said
    assert "Linear counts" not in text and "Find" not in text
    page.emulate_media(media="print")
    masks = page.locator(".mask").evaluate_all("list => list.map(e => getComputedStyle(e).opacity)")
    assert masks == [f"{FADE / 100:g}"] * 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(show, one, two, scheme):
    for path in (one, two):
        page = show(path, color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert page.evaluate(FAINT) == []


def test_everything_has_a_name(show, one, two):
    for path in (one, two):
        page = show(path)
        assert page.evaluate(NAMELESS) == []
        heads = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1])")
        assert heads[0] == 1 and all(b - a <= 1 for a, b in pairwise(heads)), heads
        assert page.evaluate("[...document.querySelectorAll('th')].every(h => h.scope)")
