"""What holds for every test: deadlines that survive a machine under load."""

import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import coverage
import pytest
from hypothesis import HealthCheck, settings

from pipeline.core import address
from pipeline.testing import patience
from tests.coverage_files import remove_damaged

# Without a GPU kernels are interpreted. Triton reads this when it is imported, and what imports it
# first is a matter of the tests' order.
if not any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")):
    os.environ.setdefault("TRITON_INTERPRET", "1")

# How long an example takes, or drawing one, says something of the machine and nothing of the code.
settings.register_profile("moonwatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("moonwatch")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Stretch each test's own deadline as its waits are stretched, and half as much again."""
    usual_s = float(config.getini("timeout"))
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = float(marker.args[0]) if marker is not None else usual_s
        item.add_marker(pytest.mark.timeout(patience(seconds) * 1.5), append=False)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Before the files of coverage are combined, remove those that a killed process left broken."""
    result = yield
    config = session.config
    if config.pluginmanager.hasplugin("_cov") and not hasattr(config, "workerinput"):
        data = config.rootpath / str(coverage.Coverage().get_option("run:data_file"))
        for name in remove_damaged(data.parent, data.name):
            session.config.get_terminal_writer().line(f"\nits process was killed: {name}")
    return result


@pytest.fixture(autouse=True)
def no_secrets_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of one test is an ordinary word in all others, as it would be in other processes."""
    monkeypatch.setattr(address, "_known", frozenset())


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A test that runs a command sets up the program's logs; the next test has its own again."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
