"""A browser, pages that have to behave, and a deployment that has run."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.reports import weeks
from tests.web import browser as browsers
from tests.web import product as products
from tests.web.applications import Application
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


@pytest.fixture(scope="session")
def two_weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a shop from Monday to the second Saturday; to be copied, not to be changed."""
    path = tmp_path_factory.mktemp("two_weeks") / "weeks.db"
    weeks.filled(f"sqlite:///{path}", (date(2026, 11, 9), date(2026, 11, 21))).close()
    return path


@pytest.fixture(autouse=True)
def visitor_as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where tests share an application, none leaves its visitor to the next."""
    app = request.getfixturevalue("app") if "app" in request.fixturenames else None
    who = app.doors.who if isinstance(app, Application) else None
    yield
    if isinstance(app, Application):
        app.doors.who = who
