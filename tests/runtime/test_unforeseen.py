"""What nobody foresaw in threads beside the stages: reports say it, and the threads go on."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.store import DELIVER
from pipeline.core.unforeseen import TOLD_FOR_S, UnforeseenErrors
from pipeline.deployment.loader import load
from pipeline.insight.status import status_of
from pipeline.runtime.ownership import StoreLease, this_process
from pipeline.runtime.planned_arming import ArmingDesk
from pipeline.runtime.reports import Reporter, reports_of
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.delivery import DeliveryStage
from pipeline.runtime.switch_desk import SwitchDesk
from pipeline.runtime.watching import WatchThread
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, patience, wait_until
from tests.web.houses import shop_file


def _broken(*_: Any) -> Any:
    raise KeyError("hunter2")


def test_an_error_is_told_for_a_minute_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """By its kind alone: what it says may hold credentials."""
    clock = ManualClock()
    errors = UnforeseenErrors("looking", clock, logging.getLogger("looking"))
    for _ in range(3):
        errors.happened(KeyError("hunter2"))
        clock.advance(TOLD_FOR_S / 2)
    told = "looking failed: an unexpected KeyError, see the log; it is tried again"
    assert errors.trouble == told
    assert [record.getMessage() for record in caplog.records] == [told]
    errors.happened(ValueError())
    assert "ValueError" in (errors.trouble or "")
    clock.advance(TOLD_FOR_S)
    assert errors.trouble is None


def test_threads_beside_the_stages_go_on_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned arming, switches, the wellness of cameras, and the report of all of it."""
    clock = SystemClock()
    deployment = load(shop_file(tmp_path), ["site.armed=[{from: '22:00', to: '6:00'}]"])
    store = deployment.store.build(clock)
    assert isinstance(store, SqlStore)
    context = StageContext(deployment, MemoryConfig().build(clock), Metrics(), clock)
    stage = DeliveryStage(context, store, StoreLease(store, DELIVER, this_process("run"), clock))
    watch = WatchThread(_broken, clock)
    reporter = Reporter("run", context, lambda: None)
    reporter.facts = _broken
    steps = {ArmingDesk: ArmingDesk.step, SwitchDesk: SwitchDesk.step}
    for desk in steps:
        monkeypatch.setattr(desk, "step", _broken)
    try:
        stage.start()

        def is_delivering() -> bool:
            stage.poll()
            return stage.ready() is None

        wait_until(is_delivering, patience(20))
        watch.start()
        wait_until(lambda: len(stage.troubles) == 2, patience(20))
        wait_until(lambda: watch.trouble is not None, patience(20))
        assert stage.troubles == [
            f"{work} failed: an unexpected KeyError, see the log; it is tried again"
            for work in ("telling of planned arming", "comparing switches with the file")
        ]
        assert stage.troubles[0] in (stage.remark() or "")

        reporter.beat(store.presence)
        (report,) = reports_of(store.presence).values()
        assert [*report.troubles] == [reporter.unforeseen.trouble]
        reporter.facts = lambda: {"troubles": [*stage.troubles, watch.trouble]}
        reporter.beat(store.presence)
        said = " | ".join(status_of(deployment, clock).troubles)
        for work in ("reporting how it is", "planned arming", "switches", "cameras are well"):
            assert work in said, said
        assert "hunter2" not in json.dumps(said)

        again: list[object] = []
        for desk in steps:
            monkeypatch.setattr(desk, "step", lambda self: again.append(self))
        wait_until(lambda: {type(one) for one in again} == {*steps}, patience(20))
    finally:
        watch.stop(patience(5))
        stage.stop(patience(5))
        store.close()
    assert watch.failure is None
