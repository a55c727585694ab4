"""The page of analysed micrographs in a browser: what moves, what is drawn, what is printed, and for whom.

Needs chromium: skipped without it, but a failure where SEMFORGE_CHROMIUM=required.
"""

import subprocess
from itertools import pairwise

import pytest
from browser import DESKTOP, FAINT, NAMELESS, PHONE, outside
from fake_analysis import add_image, batch, write_folder

from sem_train.certificate.page import write_certificate

MANY = 200

# Cards whose inside the browser has laid out and painted
RENDERED = """() => [...document.querySelectorAll('.card')].filter(
    card => card.querySelector('.frame').checkVisibility({contentVisibilityAuto: true})).length"""


@pytest.fixture(scope="module")
def specimen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("specimen")
    write_folder(folder, [add_image(folder, "a<b>&\"'", resolved=0)])
    write_certificate(folder / "page.html", folder)
    return folder / "page.html"


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    batch(folder, 6)
    write_certificate(folder / "page.html", folder)
    return folder / "page.html"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    batch(folder, MANY)
    write_certificate(folder / "page.html", folder)
    return folder / "page.html"


def opacity(page, card=1):
    return float(page.locator(f"#image-{card} .mask").evaluate("e => getComputedStyle(e).opacity"))


def column(page, table, position):
    return page.locator(table).evaluate(f"t => [...t.tBodies[0].rows].map(r => r.cells[{position}].textContent.trim())")


def test_the_page_opens_without_network_and_complaints(show, specimen, few):
    for path in (specimen, few):
        page = show(path)
        assert page.locator(".card").count() in (1, 6)
        assert page.locator("h1").is_visible()


def test_the_page_reads_without_scripts(show, few):
    page = show(few, java_script_enabled=False)
    assert page.locator(".micrograph").first.is_visible()
    assert page.locator(".overview").first.is_visible()


def test_pictures_are_drawn_and_the_mask_covers_the_micrograph(show, specimen):
    page = show(specimen)
    loaded = page.locator(".frame img").evaluate_all(
        "list => Promise.all(list.map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert loaded == [160, 160]
    micrograph, mask = (page.locator(f"#image-1 {name}").bounding_box() for name in (".micrograph", ".mask"))
    assert micrograph == mask
    assert micrograph["width"] / micrograph["height"] == pytest.approx(160 / 120, rel=0.01)


def test_outline_and_chart_lie_where_the_layer_is(show, specimen):
    page = show(specimen)
    box = page.locator("#image-1 .outlines").evaluate("e => { const b = e.getBBox(); return [b.y, b.height]; }")
    assert box == [29.5, 48]
    frame, lines = (page.locator(f"#image-1 {name}").bounding_box() for name in (".frame", ".frame svg"))
    assert frame == lines
    axes = page.locator("#image-1 .plot .axes").bounding_box()
    assert (axes["x"], axes["width"]) == pytest.approx((frame["x"], frame["width"]), abs=1)


def test_a_tall_picture_fits_on_screen_and_paper(show, tmp_path):
    write_folder(tmp_path, [add_image(tmp_path, "tall", size=(600, 120))])
    write_certificate(tmp_path / "page.html", tmp_path)
    page = show(tmp_path / "page.html")
    frame = page.locator(".frame").bounding_box()
    assert frame["height"] < 800
    assert frame["width"] == pytest.approx(frame["height"] / 5, rel=0.01)


def test_the_mask_fades_by_keyboard(show, specimen):
    page = show(specimen)
    assert opacity(page) == 0.5
    page.locator("#image-1 .fader input").focus()
    for key, expected in (("ArrowLeft", 0.45), ("Home", 0.0), ("End", 1.0)):
        page.keyboard.press(key)
        assert opacity(page) == pytest.approx(expected)
    assert page.locator("#image-1 .fader output").text_content() == "100\u202f%"


def test_the_mask_fades_by_mouse(show, specimen):
    page = show(specimen)
    box = page.locator("#image-1 .fader input").bounding_box()
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    assert opacity(page) == pytest.approx(0.8, abs=0.06)


def test_one_fader_for_all_pictures_and_one_for_each(show, few):
    page = show(few)
    page.locator(".fade-all").focus()
    page.keyboard.press("End")
    assert [opacity(page, k) for k in (1, 6)] == [1, 1]
    assert page.locator("#image-6 .fader input").input_value() == "100"
    page.locator("#image-2 .fader input").focus()
    page.keyboard.press("Home")
    assert [opacity(page, k) for k in (1, 2)] == [1, 0]


def test_outlines_can_be_put_away(show, few):
    page = show(few)
    outlines = page.locator("#image-1 .outlines")
    assert outlines.is_visible()
    page.locator("#image-1 [data-toggle=outlines]").uncheck()
    assert not outlines.is_visible()
    page.locator(".tools [data-toggle=outlines]").uncheck()
    page.locator("#image-2").scroll_into_view_if_needed()
    assert not page.locator("#image-2 .outlines").is_visible()
    assert page.locator("#image-2 .normals").is_visible()


def test_one_can_walk_along_the_layer(show, specimen):
    page = show(specimen)
    here = page.locator("#image-1 .here").last
    assert not here.is_visible()
    page.locator("#image-1 .walk").focus()
    page.keyboard.press("End")
    assert page.locator("#image-1 .plot output").text_content() == "12.0\u202fµm at 39.1\u202fµm"
    assert [float(here.get_attribute(name)) for name in ("x1", "y1", "x2", "y2")] == [156, 29.5, 156, 77.5]
    axes = page.locator("#image-1 .plot .axes").bounding_box()
    page.mouse.move(axes["x"] + 0.127 * axes["width"], axes["y"] + 10)
    assert page.locator("#image-1 .plot output").text_content().startswith("missing at 5.1")


def test_the_table_sorts_by_number_and_by_keyboard(show, specimen):
    page = show(specimen)
    heading = page.locator(".values th", has_text="value")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    values = column(page, ".values", 2)
    numbers = [float(v.replace("−", "-")) for v in values if v not in ("yes", "no")]
    assert numbers == sorted(numbers)
    assert numbers[0] == -6.75
    assert numbers.index(12) > numbers.index(4.3)  # as text it would come first
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(page, ".values", 2)[:1] == ["100"]
    intervals = page.locator(".values th", has_text="interval")
    for _ in range(2):
        intervals.get_by_role("button").click()
        assert column(page, ".values", 5)[0] != ""  # rows without a value stay last
        assert column(page, ".values", 5)[-1] == ""
    assert heading.get_attribute("aria-sort") == "none"


def test_images_sort_by_their_result(show, few):
    page = show(few)
    page.locator("details summary").filter(has_text="images in one table").click()
    table = ".overview >> nth=1"
    button = page.locator(table).locator("th", has_text="thickness").get_by_role("button")
    button.click()
    button.click()
    shown = column(page, table, 2)
    assert [float(v.split("\u00a0")[0]) for v in shown] == [14, 13, 12, 11, 10, 9]


def test_finding_an_image(show, few):
    page = show(few)
    page.get_by_role("searchbox").fill("S1 003")
    assert page.locator(".card:visible").count() == 1
    assert page.locator(".told").text_content() == "1 of 6 shown"
    page.get_by_role("searchbox").fill("s2")
    assert page.locator(".card:visible").evaluate_all("l => l.map(c => c.id)") == ["image-5", "image-6"]
    assert page.locator(".overview >> nth=0 >> tbody tr:visible").count() == 1
    page.get_by_role("searchbox").fill("")
    assert page.locator(".card:visible").count() == 6


def test_of_many_images_only_those_in_view_are_drawn(show, many):
    page = show(many)
    assert page.locator(".card").count() == MANY
    assert page.evaluate(RENDERED) <= 8
    complete = "() => [...document.querySelectorAll('.micrograph')].filter(image => image.complete).length"
    assert page.evaluate(complete) < MANY / 4
    page.evaluate("document.getElementById('image-120').scrollIntoView()")
    page.wait_for_function("document.querySelector('#image-120 .micrograph').complete")
    assert page.locator("#image-120").bounding_box()["y"] == pytest.approx(0, abs=120)
    assert 1 <= page.evaluate(RENDERED) <= 8
    assert many.stat().st_size < 30e6


def test_of_many_images_a_table_is_made_when_it_is_asked_for(show, many, tmp_path):
    page = show(many)
    assert page.locator(".values").count() == 0
    page.locator("#image-120 details.all summary").click()
    page.locator("#image-120 .values").wait_for()  # the browser tells of an opened <details> a moment later
    assert page.locator("#image-120 .values tbody tr").count() == 10
    page.locator("#image-120 .values th", has_text="value").get_by_role("button").click()
    assert column(page, "#image-120 .values", 2)[0] == "−6.75"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".card .values").count() == MANY
    assert page.locator(".values").count() == MANY + MANY / 2  # and of the specimens
    assert page.locator("details:not([open])").count() == 0


def test_a_fader_for_many_pictures_moves_at_once(show, many):
    page = show(many)
    page.locator(".fade-all").focus()
    page.keyboard.press("Home")
    assert [opacity(page, k) for k in (1, MANY)] == [0, 0]


@pytest.mark.parametrize("viewport", [PHONE, {"width": 768, "height": 1024}, DESKTOP])
def test_nothing_is_wider_than_the_screen(show, specimen, few, viewport):
    for path in (specimen, few):
        page = show(path, viewport)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        for y in range(0, page.evaluate("document.documentElement.scrollHeight"), 3000):
            page.evaluate(f"window.scrollTo(0, {y})")
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert outside(page) == []


def test_in_print_everything_is_there(show, few, tmp_path):
    page = show(few)
    page.locator(".fade-all").focus()
    page.keyboard.press("Home")
    page.get_by_role("searchbox").fill("S1")
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True, print_background=True)
    read = lambda *command: subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = read("pdftotext", "-layout", tmp_path / "page.pdf", "-")
    for k in range(6):
        assert f"All values of image-00{k}" in text
    assert text.count("local thickness, largest") == 0  # it has no value
    assert text.count("tilt in the image") == 6 + 3  # each image, and each specimen over its fields
    assert text.count("All 6 images in one table") == 1
    assert "Outlines" not in text
    images = read("pdfimages", "-list", tmp_path / "page.pdf")
    micrographs = [line for line in images.splitlines() if line.split()[2:6] == ["image", "160", "120", "gray"]]
    assert len(micrographs) == 6
    assert page.locator("details:not([open])").count() > 0  # as it was before


def test_printing_shows_the_classes_whatever_the_fader_says(show, specimen):
    page = show(specimen)
    page.locator("#image-1 .fader input").focus()
    page.keyboard.press("Home")
    page.emulate_media(media="print")
    assert opacity(page) == 0.5
    assert not page.locator(".controls").is_visible()
    assert page.locator("#image-1 .outlines").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(show, specimen, few, scheme):
    for path in (specimen, few):
        page = show(path, color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert page.evaluate(FAINT) == []


def test_the_contrast_is_looked_at(show, specimen):
    page = show(specimen)
    page.evaluate("document.querySelector('h1').style.color = '#999'")
    assert [tag for tag, *_ in page.evaluate(FAINT)] == ["H1"]


def test_everything_has_a_name(show, specimen, few):
    for path in (specimen, few):
        page = show(path)
        assert page.evaluate(NAMELESS) == []
        heads = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
        assert heads[0] == 1
        assert all(b - a <= 1 for a, b in pairwise(heads)), heads
        assert page.evaluate("[...document.querySelectorAll('th')].every(h => h.scope)")


def test_the_keyboard_reaches_everything_and_is_seen(show, few):
    page = show(few)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#results') !== null")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "(e => [e.type || e.tagName, getComputedStyle(e).outlineStyle])(document.activeElement)"
        )
        if name == "BODY":  # past the last one
            break
        reached.add(name)
        assert outline != "none", name
    assert reached >= {"button", "search", "range", "checkbox", "A", "SUMMARY"}
