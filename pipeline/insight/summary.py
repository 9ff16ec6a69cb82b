"""The results of a run in figures, read from the store and the metrics, shown as tables."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from pipeline.core.audits import Audit, Audits
from pipeline.core.events import JsonValue
from pipeline.core.frames import LEFT_OUT
from pipeline.core.store import EventFilter, History
from pipeline.deployment.model import Deployment
from pipeline.rules import all_rules
from pipeline.rules.measures import SummaryTable
from pipeline.rules.record import RuleRecord
from pipeline.telemetry.figures import CameraFigures, Figures


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """What one rule measured, summed up as the rule says."""

    camera: str
    rule: str
    values: Mapping[str, float | None]
    """By column; None where nothing is known."""
    known_s: float
    """Seconds of capture time that are known; the rest was not seen or not answered."""
    unfinished: bool = False
    """The last minute was still running: it counts as far as it is known."""


@dataclass(frozen=True, slots=True)
class SummaryRows:
    """The rows of all rules that share a table."""

    table: SummaryTable
    rows: Sequence[SummaryRow]


@dataclass(frozen=True, slots=True)
class Flow:
    """One camera's frames: sampled, and dropped by reason."""

    camera: str
    sampled: int
    dropped: dict[str, int]
    failed: int = 0
    """Tasks that no engine could answer."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The results of a run."""

    measured: Sequence[SummaryRows]
    """Every table that a rule can have; those without a rule have no rows."""
    events: dict[tuple[str, str], int]
    """Events by camera and rule, as far as they count: a start and its end are one."""
    flows: Sequence[Flow]
    behind: dict[str, int]
    """Events waiting for a sink, by its name; sinks without any are left out."""
    seconds: float
    """How long the run took."""
    refused: dict[str, int] = field(default_factory=dict)
    """Events that a sink refused, by its name; sinks without any are left out."""
    audits: Sequence[Audit] = ()
    """The last audit of each rule that was audited."""
    rejected: dict[tuple[str, str], int] = field(default_factory=dict)
    """Events that a second look has rejected: they are not among `events`."""
    superseded: dict[tuple[str, str], int] = field(default_factory=dict)
    """Those that only an earlier judging of a recording reported: they are not either."""

    @property
    def frames(self) -> int:
        """Frames sampled over all cameras."""
        return sum(flow.sampled for flow in self.flows)

    def undelivered(self) -> str | None:
        """A sentence about events that no sink has taken yet; None where all are delivered."""
        said = []
        if self.behind:
            waiting = _by_sink(self.behind)
            said.append(
                f"events are waiting in the store ({waiting}) and will be sent by the next run; "
                "run it again once the sink accepts them"
            )
        if self.refused:
            said.append(
                f"events were refused ({_by_sink(self.refused)}); `moonwatch undelivered` shows "
                "why and sends them again"
            )
        return "; ".join(said) or None

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        return {
            **{
                one.table.name: [_row_json(one.table, row) for row in one.rows]
                for one in self.measured
            },
            "events": [
                {
                    "camera": key[0],
                    "rule": key[1],
                    "events": n,
                    **({"rejected": self.rejected[key]} if key in self.rejected else {}),
                    **({"superseded": self.superseded[key]} if key in self.superseded else {}),
                }
                for key, n in self.events.items()
            ],
            "frames": [
                {
                    "camera": flow.camera,
                    "sampled": flow.sampled,
                    "left_out": {r: n for r, n in flow.dropped.items() if r in LEFT_OUT},
                    "dropped": {r: n for r, n in flow.dropped.items() if r not in LEFT_OUT},
                    "failed": flow.failed,
                }
                for flow in self.flows
            ],
            **({"audits": [audit_json(one) for one in self.audits]} if self.audits else {}),
            "undelivered": dict(self.behind),
            "refused": dict(self.refused),
            "seconds": _rounded(self.seconds),
        }


def audit_json(audit: Audit) -> dict[str, JsonValue]:
    """An audit for machines: what was found, each figure with its interval."""
    figures: dict[str, JsonValue] = asdict(audit.figures)
    return {
        "audit": audit.id,
        "camera": audit.camera,
        "rule": audit.rule,
        "since": audit.since,
        "until": audit.until,
        "judged_at": audit.judged_at,
        "by": audit.by,
        **figures,
    }


def last_audits(deployment: Deployment, audits: Audits) -> Sequence[Audit]:
    """What was found about each of the file's rules that was audited, the last time."""
    found = [
        audits.last_judged(camera, rule)
        for camera, config in deployment.cameras.items()
        for rule in config.rules
    ]
    return [audit for audit in found if audit is not None]


def summarise(
    deployment: Deployment,
    history: History,
    figures: Figures,
    took_s: float,
    audits: Audits | None = None,
) -> Summary:
    """The figures of everything that is in a store, with the frames of this run."""
    measured = _measured(deployment, history)
    events: dict[tuple[str, str], int] = defaultdict(int)
    rejected, superseded = defaultdict[tuple[str, str], int](int), events.copy()
    for count in history.counts(EventFilter(phases=("start", "single"))):
        key = (count.camera, count.rule)
        events[key] += count.counted
        rejected[key] += count.rejected
        superseded[key] += count.superseded
    counted = {camera: figures.get(camera, CameraFigures()) for camera in deployment.cameras}
    own = deployment.sinks  # removed sinks do not count
    return Summary(
        measured=measured,
        events=dict(events),
        flows=[Flow(c, f.sampled, dict(f.dropped), f.failed) for c, f in counted.items()],
        behind={c.sink: c.behind for c in history.cursors() if c.behind > 0 and c.sink in own},
        seconds=took_s,
        refused={sink: n for sink, n in history.refused().items() if sink in own},
        audits=last_audits(deployment, audits) if audits is not None else (),
        rejected={key: n for key, n in rejected.items() if n},
        superseded={key: n for key, n in superseded.items() if n},
    )


def _by_sink(events: dict[str, int]) -> str:
    return ", ".join(f"{number} for {sink}" for sink, number in events.items())


def _measured(deployment: Deployment, history: History) -> Sequence[SummaryRows]:
    tables: dict[SummaryTable, list[SummaryRow]] = {
        rule.table: [] for rule in all_rules() if rule.table is not None
    }
    further: dict[SummaryTable, list[SummaryRow]] = {}
    for camera, config in deployment.cameras.items():
        for name, rule in config.rules.items():
            if rule.table is None:
                continue
            record = RuleRecord.read(history, camera, name)
            values = rule.sum_up(record)
            if values is not None:
                row = SummaryRow(camera, name, values, record.known_s, record.unfinished)
                tables.setdefault(rule.table, []).append(row)
                for table in rule.further:
                    own = set(table.columns) - set(rule.table.columns)
                    if any(values.get(column.name) is not None for column in own):
                        further.setdefault(table, []).append(row)
    return [SummaryRows(table, rows) for table, rows in (*tables.items(), *further.items())]


def _row_json(table: SummaryTable, row: SummaryRow) -> JsonValue:
    written: dict[str, JsonValue] = {"camera": row.camera, "rule": row.rule}
    written |= {column.name: _rounded(row.values.get(column.name)) for column in table.columns}
    if table.shows_known:
        written["known_s"] = _rounded(row.known_s)
    return written


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
