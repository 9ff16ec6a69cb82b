"""What is too old is forgotten, and where that is not possible an operator is told."""

import logging
from pathlib import Path

import pytest

from connectors.stores import StoreConfig
from pipeline.core.errors import StoreError
from pipeline.deployment.loader import parse
from pipeline.runtime.stages.retention import Retention
from pipeline.testing import ManualClock

TEXT = """
version: 1
store: {url: "sqlite:///FOLDER/events.db", keep: 1d}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://127.0.0.1:9/door"}
"""


def test_pictures_that_cannot_be_deleted_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log when it begins and when it ends, and as a trouble for `status` between."""
    caplog.set_level(logging.INFO)
    config = StoreConfig(url=f"sqlite:///{tmp_path}/events.db")
    clock = ManualClock()
    store, media = config.build(clock), config.build_media()
    deployment = parse(TEXT.replace("FOLDER", str(tmp_path))).deployment
    retention = Retention(deployment, store, media, clock)
    retention.look()

    def refuse(before: float) -> int:
        raise StoreError("old pictures in /media cannot be deleted: Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(media, "prune", refuse)
        for _ in range(24):
            clock.advance(3601.0)
            retention.look()
        assert "Permission denied" in str(retention.trouble)
    clock.advance(3601.0)
    retention.look()
    assert retention.trouble is None
    said = [record.message for record in caplog.records if "store.keep" in record.message]
    assert len(said) == 2
    assert "cannot be deleted: old pictures in /media" in said[0]
    assert "is deleted again" in said[1]
    store.close()
