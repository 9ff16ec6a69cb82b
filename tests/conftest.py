"""What holds for every test: deadlines that survive a machine under load."""

import pytest

from pipeline.testing import patience


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Stretch each test's own deadline as its waits are stretched, and half as much again."""
    usual_s = float(config.getini("timeout"))
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = float(marker.args[0]) if marker is not None else usual_s
        item.add_marker(pytest.mark.timeout(patience(seconds) * 1.5), append=False)
