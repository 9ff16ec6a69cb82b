"""What every store promises about audits."""

import abc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.audits import Audit, AuditFigure, AuditFigures
from pipeline.core.clock import Clock
from pipeline.testing import ManualClock

NOON = 1_795_773_600.0
FIGURES = AuditFigures(
    precision=AuditFigure(0.95, 0.83, 0.99),
    recall=AuditFigure(0.9, 0.7, 0.98),
    accuracy=AuditFigure(1.05, 0.9, 1.2),
    counted=210,
    true=AuditFigure(200.0, 175.0, 233.3),
    judged=80,
)
OPEN = Audit(
    id="a1",
    camera="door",
    rule="footfall",
    since=NOON - 86400.0,
    until=NOON,
    drawn_at=NOON,
    plan={"clips": [{"name": "clip-01", "counted": 1}]},
)
JUDGED = replace(
    OPEN, verdicts={"clip-01": 1, "clip-02": None}, judged_at=NOON + 60.0, by="Ada", figures=FIGURES
)


class AuditsContract(abc.ABC):
    """They come back as they were kept, and their figures stay."""

    @abc.abstractmethod
    def opened_audited(self, clock: Clock) -> SqlStore:
        """The store, as another process sees it."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Noon of a day."""
        return ManualClock(NOON)

    @pytest.fixture
    def audited(self, clock: ManualClock) -> Iterator[SqlStore]:
        """A store without audits."""
        store = self.opened_audited(clock)
        yield store
        store.close()

    def test_an_audit_comes_back_exactly(self, audited: SqlStore) -> None:
        """Open at first, then with what was found; under an unknown id there is none."""
        audited.audits.keep_audit(OPEN)
        assert audited.audits.audit("a1") == OPEN
        audited.audits.keep_audit(JUDGED)
        assert audited.audits.audit("a1") == JUDGED
        assert audited.audits.audit("a2") is None

    def test_directions_come_back_too(self, audited: SqlStore) -> None:
        """With verdicts of each; an audit of an earlier release has none."""
        apart = replace(FIGURES, directions={"in": FIGURES, "out": AuditFigures(counted=3)})
        told = replace(JUDGED, verdicts={"clip-01": {"in": 1, "out": 0}}, figures=apart)
        audited.audits.keep_audit(told)
        assert audited.audits.audit("a1") == told

    def test_reports_quote_what_was_judged_last(self, audited: SqlStore) -> None:
        """An audit that is still open says nothing, and neither does one of another rule."""
        later = replace(JUDGED, id="a2", drawn_at=NOON + 1.0, judged_at=NOON + 30.0)
        unfinished = replace(OPEN, id="a3", drawn_at=NOON + 100.0)
        other = replace(JUDGED, id="a4", rule="till", judged_at=NOON + 999.0)
        for audit in (JUDGED, later, unfinished, other):
            audited.audits.keep_audit(audit)
        assert audited.audits.last_judged("door", "footfall") == JUDGED
        assert audited.audits.last_judged("door", "exit") is None
        ahead = replace(JUDGED, id="a5", judged_at=NOON + 9e8)
        audited.audits.keep_audit(ahead)
        assert audited.audits.last_judged("door", "footfall") == JUDGED, "its clock was ahead"
        audited.audits.keep_audit(replace(ahead, rule="exit"))
        newest_first = [one.id for one in audited.audits.audits("door", "footfall")]
        assert newest_first == ["a3", "a2", "a1"]
        assert len(audited.audits.audits()) == 5

    def test_figures_outlive_what_they_stand_on(
        self, audited: SqlStore, clock: ManualClock
    ) -> None:
        """Open audits and the moments that were looked at are forgotten with the events."""
        audited.audits.keep_audit(JUDGED)
        audited.audits.keep_audit(replace(OPEN, id="a2"))
        audited.prune(clock.now())
        assert audited.audits.audit("a2") is not None, "it is not old yet"
        audited.prune(clock.now() + 1.0)
        assert audited.audits.audits() == [replace(JUDGED, plan=None, verdicts={})]

    def test_a_renamed_camera_keeps_its_audits(self, audited: SqlStore) -> None:
        """Also where there is nothing else of it."""
        audited.audits.keep_audit(JUDGED)
        audited.rename_cameras({"door": "entrance"})
        assert audited.audits.last_judged("entrance", "footfall") == replace(
            JUDGED, camera="entrance"
        )
