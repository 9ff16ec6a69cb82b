"""One server for the tests of a module, on the golden model."""

from collections.abc import Iterator

import pytest

from tests.server.serving import Serving, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that runs, with one key that has no limits."""
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server
