"""What tests of training and of pages share."""

import pytest
import torch
from browser import CHROMIUM, DESKTOP, REQUIRED, missing


@pytest.fixture
def one_thread():
    """Sums in one order: results are the same bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def denormals():
    """Trainings let denormal numbers count as zero in their process; what comes after them here has them again."""
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def browser():
    if reason := missing():
        if REQUIRED:
            pytest.fail(f"SEMFORGE_CHROMIUM=required, but {reason}")
        pytest.skip(f"no browser: {reason}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def show(browser):
    """Opens a page; afterwards it must have asked for nothing and complained of nothing."""
    contexts, trouble = [], []

    def opened(path, viewport=DESKTOP, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        address = path.as_uri()
        page.on("request", lambda r: r.url == address or r.url.startswith("data:") or trouble.append(r.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []
