"""kill -9 at any moment loses no event and doubles none, in the store and at the sink."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.stores.sql import SqlStore
from pipeline.testing import patience
from tests.connectors.stores.test_buckets import KEY, PASSWORD, Cloud, empty_bucket
from tests.contracts.event_tools import an_event
from tests.delivery.killed_often import LAST_STEPS

ROOT = Path(__file__).parents[2]
KILLS = 10


def kept_after_kills(folder: Path, sink: dict[str, Any]) -> list[str]:
    """What is stored after ten lives that were cut short at moments of chance and one that was not.

    Each event is there once, and the sink has got as far.
    """
    command = [sys.executable, "-W", "error", "-m", "tests.delivery.killed_often"]
    done = subprocess.run(
        [*command, str(folder), str(KILLS), "1", json.dumps(sink)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(50),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    store = SqlStore(f"sqlite:///{folder}/moonwatch.db")
    kept = [kept.event.record_id for kept in store.events_after(0, 100_000)]
    assert store.cursor("log").behind == 0
    store.close()
    # A step or more by each life that was cut short at work.
    assert len(kept) >= 2 * (KILLS // 2 + LAST_STEPS)
    assert kept == [an_event(number).record_id for number in range(len(kept))]
    return kept


def test_each_event_is_kept_and_delivered_once(tmp_path: Path) -> None:
    """In a file of lines, in order."""
    path = tmp_path / "events.jsonl"
    kept = kept_after_kills(
        tmp_path, {"type": "jsonl", "path": str(path), "max_size": "30kB", "keep": 1000}
    )
    files = sorted(tmp_path.glob("events*.jsonl"), key=lambda file: (len(file.name) < 15, file))
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert [json.loads(line)["id"] for line in lines] == kept


def test_each_event_is_in_one_file_of_an_archive(tmp_path: Path) -> None:
    """And files that were half written are not taken for some that are."""
    folder = tmp_path / "archive"
    kept = kept_after_kills(tmp_path, {"type": "archive", "url": str(folder)})
    files = sorted((folder / "events").rglob("*.jsonl.gz"))
    assert archived([file.read_bytes() for file in files]) == kept


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A bucket, in this process: it is not killed."""
    yield from empty_bucket()


def test_each_event_is_in_one_object_of_a_bucket(tmp_path: Path, cloud: Cloud) -> None:
    """Whatever was on its way when it was killed."""
    bucket = {"type": "archive", "url": "s3://shop/eye", "endpoint": cloud.url}
    kept = kept_after_kills(tmp_path, bucket | {"access_key": KEY, "secret_key": PASSWORD})
    bodies = [cloud.s3.get_object(Bucket="shop", Key=key)["Body"] for key in cloud.objects()]
    assert archived([body.read() for body in bodies]) == kept


def archived(objects: list[bytes]) -> list[str]:
    """The ids in objects, which are named in the order of the store within an hour."""
    return [json.loads(line)["id"] for one in objects for line in gzip.decompress(one).splitlines()]
