"""The benchmark of delivery: its rows, without a look at how fast anything was."""

from pathlib import Path

import pytest

from benchmarks.delivery import BARE_CLIENTS, OTHER_SETTINGS, SINKS, compared, with_pictures


@pytest.mark.parametrize("name", ["jsonl", "webhook_batch"])
def test_a_lane_beside_its_bare_client(name: str, tmp_path: Path) -> None:
    """All events of both arrive, and the row has the figures of its heading."""
    row = compared(name, tmp_path, 0.05, 1)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == name
    assert len(cells) == 9
    assert all(float(cell.split()[0].replace(",", "")) >= 0 for cell in cells[1:])


def test_from_capture_to_acceptance(tmp_path: Path) -> None:
    """The pictures travel, as the far end's words are waited for."""
    row = with_pictures("webhook_picture", tmp_path, 0.4)
    assert row.startswith("| webhook_picture | 2 |")


def test_every_sink_has_its_bare_client() -> None:
    """By its type, of which it may be another setting."""
    assert {OTHER_SETTINGS.get(name, (name,))[0] for name in SINKS} == set(BARE_CLIENTS)
