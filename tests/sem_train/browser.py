"""A browser for tests of pages: Debian's chromium, without a window, driven by Playwright."""

import importlib.util
import os
import shutil
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
REQUIRED = os.environ.get("SEMFORGE_CHROMIUM") == "required"
INSTALL = "scripts/install_chromium.sh installs it on Debian and Ubuntu"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}

# Text that stands out from what is behind it by less than WCAG's AA asks, with its ratio
FAINT = """() => {
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
      if (e.classList.contains('frame')) { layers.push([255, 255, 255, 1]); break; }  // at worst, a white picture
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || ['SCRIPT', 'STYLE'].includes(element.tagName) || !element.checkVisibility()) continue;
    const style = getComputedStyle(element), below = behind(element);
    const [a, b] = [light(over(parse(style.color), below)), light(below)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push([element.tagName, element.textContent.slice(0, 30), ratio]);
  }
  return found;
}"""

# Controls, pictures and regions that a screen reader could not name
NAMELESS = """() => [...document.querySelectorAll(
  'input, button, img, [role=img], [role=region], article, summary, a')].filter(e => {
  const by = e.getAttribute('aria-labelledby'), said = by && document.getElementById(by)?.textContent;
  const name = said || e.getAttribute('aria-label') || e.getAttribute('alt') ||
    [...(e.labels ?? [])].map(l => l.textContent).join('') || (e.tagName === 'INPUT' ? '' : e.textContent);
  return !name.trim();
}).map(e => e.outerHTML.slice(0, 80))"""


def missing():
    """What a test of pages lacks, in a sentence; None if nothing."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed; it is one of the development dependencies"
    if not CHROMIUM.exists():
        return f"there is no {CHROMIUM}; {INSTALL}"
    if shutil.which("pdftotext") is None:
        return f"there is no pdftotext; {INSTALL}"
    return None


def outside(page):
    """The beginnings of elements that reach beyond the right edge of the screen, but for what scrolls by itself."""
    return page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, svg, .unseen') &&
           e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    )
