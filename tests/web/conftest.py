"""A browser, pages that have to behave, and a deployment that has run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.web import browser as browsers
from tests.web import product as products
from tests.web.browser import NewPage


# Not of the session: while it is open, no other test of the process could run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    expect.set_options(timeout=browsers.WITHIN_MS)
    with browsers.chromium() as started:
        yield started


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Opens pages, each in a context of its own; they have to behave until the test ends."""
    with browsers.pages(browser) as opener:
        yield opener


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a deployment that has run; whoever changes something takes a copy of it."""
    return products.made(tmp_path_factory.mktemp("product"))
