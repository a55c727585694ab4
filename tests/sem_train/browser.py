"""A browser for tests of pages: Debian's chromium, without a window, driven by Playwright."""

import importlib.util
import os
import shutil
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
REQUIRED = os.environ.get("SEMFORGE_CHROMIUM") == "required"
INSTALL = "scripts/install_chromium.sh installs it on Debian and Ubuntu"


def missing():
    """What a test of pages lacks, in a sentence; None if nothing."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed; it is one of the development dependencies"
    if not CHROMIUM.exists():
        return f"there is no {CHROMIUM}; {INSTALL}"
    if shutil.which("pdftotext") is None:
        return f"there is no pdftotext; {INSTALL}"
    return None
