"""kill -9 at any moment loses no event and doubles none, in the store and in the file."""

import json
import subprocess
import sys
from pathlib import Path

from connectors.stores.sql import SqlStore
from pipeline.testing import patience
from tests.contracts.event_tools import an_event
from tests.delivery.killed_often import LAST_STEPS

ROOT = Path(__file__).parents[2]
KILLS = 10


def test_each_event_is_kept_and_delivered_once(tmp_path: Path) -> None:
    """After ten lives that were cut short at moments of chance and one that was not."""
    command = [sys.executable, "-W", "error", "-m", "tests.delivery.killed_often"]
    done = subprocess.run(
        [*command, str(tmp_path), str(KILLS), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(50),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    store = SqlStore(f"sqlite:///{tmp_path}/moonwatch.db")
    kept = [kept.event.record_id for kept in store.events_after(0, 100_000)]
    assert store.cursor("log").behind == 0
    store.close()
    # A step or more by each life that was cut short at work.
    assert len(kept) >= 2 * (KILLS // 2 + LAST_STEPS)
    assert kept == [an_event(number).record_id for number in range(len(kept))]
    files = sorted(tmp_path.glob("events*.jsonl"), key=lambda file: (len(file.name) < 15, file))
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert [json.loads(line)["id"] for line in lines] == kept
