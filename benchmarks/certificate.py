"""How a page of many micrographs scrolls: `python -m benchmarks.certificate FOLDER [--images 10 --images 200]`.

FOLDER is one that `sem-train analyse` wrote; its images are repeated until there are as many as asked. Each page is
opened in chromium, without a graphics card, and scrolled by 400 pixels a frame; once as it is, and once with every card
laid out at all times, as a plain page would. Prints size, seconds to open, elements, frame times and tasks of more
than 50 ms.
"""

import shutil
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import typer

from sem_train.analysis.record import read_folder_record, read_image_record, write_record
from sem_train.certificate.page import write_certificate
from semforge import cli
from semforge.tables import plain_table

CHROMIUM = "/usr/bin/chromium"
STEP_PX, FRAMES = 400, 400
WIDTH, HEIGHT = 1280, 900
ALL_DRAWN = ".card { content-visibility: visible !important; }"
SCROLL = """async ([step, most]) => {
  const frames = [], long = [];
  new PerformanceObserver(list => long.push(...list.getEntries())).observe({ entryTypes: ["longtask"] });
  const next = () => new Promise(resolve => requestAnimationFrame(resolve));
  const bottom = document.documentElement.scrollHeight;
  let last = await next();
  for (let y = 0; y < bottom && frames.length < most; y += step) {
    scrollTo(0, y);
    const now = await next();
    frames.push(now - last);
    last = now;
  }
  frames.sort((a, b) => a - b);
  const at = share => frames[Math.min(frames.length - 1, Math.floor(share * frames.length))];
  return [frames.length, at(0.5), at(0.95), at(1), long.length];
}"""


@dataclass(frozen=True)
class Scrolled:
    """One page in one browser. Times in ms, but for `open_s`."""

    open_s: float
    elements: int
    frames: int
    median: float
    slow: float  # 95th percentile
    slowest: float
    long_tasks: int


def repeated(source: Path, count: int, out: Path) -> None:
    """An analysed folder of `count` images, made of those in `source` again and again under new names."""
    folder = read_folder_record(source)
    names = []
    for k, name in enumerate(islice(cycle(folder.images), count)):
        record = read_image_record(source / f"{name}.json")
        names.append(f"{name}-{k:04d}")
        write_record(out, record.model_copy(update={"name": names[-1], "specimen": f"{record.specimen}-{k // 40}"}))
        for ending in (".jpg", "_labels.tif"):
            shutil.copy(source / f"{name}{ending}", out / f"{names[-1]}{ending}")
    write_record(out, folder.model_copy(update={"images": tuple(names), "specimens": ()}))


def scrolled(page_file: Path, style: str) -> Scrolled:
    """Open a page in a browser of its own, with `style` added, and scroll down."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        began = time.perf_counter()
        page.goto(page_file.as_uri())
        if style:
            page.add_style_tag(content=style)
        page.evaluate("new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
        opened = time.perf_counter() - began
        elements = page.evaluate("document.querySelectorAll('*').length")
        measured = page.evaluate(SCROLL, [STEP_PX, FRAMES])
        browser.close()
    return Scrolled(opened, elements, *measured)


def main(
    folder: Annotated[Path, typer.Argument(help="Folder that 'sem-train analyse' wrote.")],
    images: Annotated[list[int] | None, typer.Option(help="Numbers of images on the page.")] = None,
) -> None:
    """Measure and print."""
    table = plain_table(
        "Scrolling", "page", "MB", "s to make", "s to open", "elements", "frames", "median ms", "95 % ms", "slowest ms",
        "long tasks",
    )  # fmt: skip
    for count in images or [10, 200]:
        with tempfile.TemporaryDirectory() as name:
            made = Path(name)
            repeated(folder, count, made)
            began = time.perf_counter()
            write_certificate(made / "page.html", made)
            seconds, size = time.perf_counter() - began, (made / "page.html").stat().st_size / 1e6
            for what, style in (("as made", ""), ("all cards drawn", ALL_DRAWN)):
                s = scrolled(made / "page.html", style)
                numbers = (s.median, s.slow, s.slowest)
                table.add_row(
                    f"{count} images, {what}", f"{size:.1f}", f"{seconds:.1f}", f"{s.open_s:.1f}", f"{s.elements}",
                    f"{s.frames}", *(f"{n:.0f}" for n in numbers), f"{s.long_tasks}",
                )  # fmt: skip
    cli.console.print(table)


if __name__ == "__main__":
    typer.run(main)
