"""Every metric of moonwatch, in one list. Labels are bounded: cameras, engines, sinks, reasons."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)

M = TypeVar("M", Counter, Gauge, Histogram)


class _Metric(Generic[M]):
    """One line of the list below; its name is `moonwatch_` and the attribute's."""

    def __init__(self, documentation: str, *labels: str) -> None:
        self.documentation = documentation
        self.labels = labels

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, metrics: "Metrics", owner: type) -> M:
        made: M = metrics.made[self.name]
        return made

    @abstractmethod
    def make(self, registry: CollectorRegistry) -> M:
        """The metric, registered."""


class _CounterOf(_Metric[Counter]):
    def make(self, registry: CollectorRegistry) -> Counter:
        return Counter(f"moonwatch_{self.name}", self.documentation, self.labels, registry=registry)


class _Measured(_Metric[Gauge]):
    def make(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(f"moonwatch_{self.name}", self.documentation, self.labels, registry=registry)


class _Spread(_Metric[Histogram]):
    def __init__(self, documentation: str, *labels: str, buckets: Sequence[float]) -> None:
        super().__init__(documentation, *labels)
        self.buckets = buckets

    def make(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(
            f"moonwatch_{self.name}",
            self.documentation,
            self.labels,
            buckets=self.buckets,
            registry=registry,
        )


class Metrics:
    """One set of metrics, passed to every stage of a process."""

    frames_received = _CounterOf("Pictures read from a source.", "camera")
    frames_sampled = _CounterOf("Frames put on the queue.", "camera")
    frames_dropped = _CounterOf("Frames dropped before an answer, by reason.", "camera", "reason")
    camera_up = _Measured("1 while a camera delivers pictures that can be used.", "camera")
    camera_well = _Measured(
        "1 while a camera's pictures arrive and are sampled, answered and judged in time.", "camera"
    )
    camera_trouble = _Measured(
        "1 while a camera has this trouble, such as offline, black or unanswered.",
        "camera",
        "reason",
    )
    camera_failures = _CounterOf(
        "Times a source could not be opened or read, by reason.", "camera", "reason"
    )
    camera_gap_seconds = _CounterOf(
        "Seconds of live video missed between losing a camera and its next picture.", "camera"
    )
    jobs_sent = _CounterOf("Jobs put on the queue for an engine.", "camera", "engine")
    jobs_answered = _CounterOf("Jobs answered by an engine.", "camera", "engine")
    focused_jobs = _CounterOf(
        "Jobs with a task that looks only where something moves (`where: motion`), answered.",
        "camera",
        "engine",
    )
    pictures_looked_at = _CounterOf(
        "Sum over these jobs of the share of the picture that was looked at, 0 to 1.",
        "camera",
        "engine",
    )
    tasks_failed = _CounterOf("Tasks an engine could not answer.", "camera", "engine")
    jobs_retried = _CounterOf(
        "Jobs retried: alone after their batch failed, or after their worker disappeared.",
        "engine",
    )
    jobs_reclaimed = _CounterOf("Jobs claimed again after their worker disappeared.", "engine")
    batch_size = _Spread(
        "Number of jobs answered together with each job, itself included.",
        "engine",
        buckets=BATCH_BUCKETS,
    )
    answer_seconds = _Spread(
        "Seconds from submitting a job to an engine to passing on its answers.",
        "engine",
        buckets=LATENCY_BUCKETS,
    )
    engine_busy_seconds = _CounterOf("Seconds in which an engine had jobs in progress.", "engine")
    engine_cycles = _CounterOf(
        "Steps of an engine's running batch: replayed as a captured graph, or eager.",
        "engine",
        "outcome",
    )
    engine_graphs = _CounterOf(
        "Captures of an engine's steps as graphs: captured, failed or evicted.", "engine", "outcome"
    )
    engine_capture_seconds = _CounterOf("Seconds spent capturing graphs.", "engine")
    engine_provider = _Measured(
        "1 for what an engine's net runs on, such as cpu or cuda, where the engine says so.",
        "engine",
        "provider",
    )
    engine_requests = _CounterOf(
        "Requests to an engine elsewhere: answered, refused (that request alone), failed or "
        "repeated; spared while it is left alone, or unpaid as its budget is spent.",
        "engine",
        "outcome",
    )
    engine_reachable = _Measured(
        "1 while an engine elsewhere can be asked, 0 while it is left alone or its budget is "
        "spent.",
        "engine",
    )
    engine_budget_left = _Measured(
        "What is left of an engine's budget in this hour or day.", "engine", "period"
    )
    tasks_stood_in = _CounterOf(
        "Tasks that the `fallback` of an engine elsewhere was asked in its place.", "engine"
    )
    queue_length = _Measured("Jobs waiting.", "engine")
    queue_oldest_seconds = _Measured("Age of the oldest waiting frame, in seconds.", "engine")
    frame_age_seconds = _Spread(
        "Age of a live frame, in seconds, when it is sampled, claimed, answered and judged.",
        "hop",
        buckets=LATENCY_BUCKETS,
    )
    results_judged = _CounterOf("Results evaluated by the rules.", "camera")
    judged_until_seconds = _Measured(
        "Capture time (UTC seconds) of the newest live frame that the rules evaluated.", "camera"
    )
    events_withheld = _CounterOf(
        "Happenings not reported because fewer frames were answered than min_coverage asks for.",
        "camera",
        "rule",
    )
    results_passed_over = _CounterOf(
        "Results not evaluated: late, duplicate, missing, astray, unreadable, unjudgeable, from a "
        "camera or engine that is not in the file, or requested before an edit.",
        "camera",
        "reason",
    )
    partitions_held = _Measured("Partitions of the results this processor owns.")
    partitions_taken = _CounterOf(
        "Partitions taken over, with the unprocessed results of their previous owner."
    )
    end_to_end_seconds = _Spread(
        "Seconds from capture to rule evaluation, live cameras only.",
        "camera",
        buckets=LATENCY_BUCKETS,
    )
    events = _CounterOf("Events stored, by rule.", "camera", "rule", "phase")
    today_value = _Measured(
        "What a rule has measured so far in the site's day; absent where it is not known.",
        "camera",
        "rule",
        "measure",
    )
    today_coverage = _Measured(
        "Share of the site's day so far that a rule knows, 0 to 1.", "camera", "rule"
    )
    second_looks = _CounterOf(
        "Happenings of rules with `verify`: confirmed, rejected or unverified.",
        "camera",
        "rule",
        "outcome",
    )
    second_looks_waiting = _Measured("Events that wait for the answer of `verify`.", "camera")
    second_look_seconds = _Spread(
        "Seconds from judging an event to the outcome of its `verify`.",
        "engine",
        buckets=LATENCY_BUCKETS,
    )
    delivering = _Measured("1 in the process that delivers events, 0 in all others.")
    events_delivered = _CounterOf("Events a sink accepted.", "sink")
    delivery_failures = _CounterOf("Delivery attempts that failed.", "sink")
    events_undelivered = _CounterOf(
        "Events kept as undelivered: `refused` by the other side for good, `unwritable` in the "
        "sink's format, `unreadable` in the store, or `given_up` after `give_up_after`.",
        "sink",
        "reason",
    )
    events_skipped = _CounterOf(
        "Events that were too old for a sink when their turn came (`max_age`).", "sink"
    )
    delivery_seconds = _Spread(
        "Seconds from storing an event to its acceptance by a sink.",
        "sink",
        buckets=LATENCY_BUCKETS,
    )
    capture_to_accepted_seconds = _Spread(
        "Seconds from the capture of an event's frame to its acceptance by a sink, live cameras "
        "only.",
        "sink",
        buckets=LATENCY_BUCKETS,
    )
    sink_behind = _Measured("Events waiting for a sink.", "sink")
    sink_lag_seconds = _Measured(
        "Age of the oldest event that waits for a sink, in seconds; 0 while none waits.", "sink"
    )
    sink_accepted_seconds = _Measured("When a sink accepted an event last (UTC seconds).", "sink")
    messages_sent = _CounterOf("Messages that a sink of type `notify` has sent.", "sink")
    events_held_back = _CounterOf(
        "Events that a sink of type `notify` held back for a later message.", "sink"
    )
    events_silenced = _CounterOf(
        "Events that a sink of type `notify` tells nobody of, in its quiet hours.", "sink"
    )
    sink_waiting = _Measured("Events that a sink of type `notify` holds back now.", "sink")
    server_responses = _CounterOf(
        "HTTP answers of the model server, by route and status; 499 is a client that left.",
        "route",
        "status",
    )
    server_requests = _CounterOf(
        "Requests to the model by skill, name of the key and status; 499 is a client that left.",
        "skill",
        "key",
        "status",
    )
    server_pictures = _CounterOf("Pictures that callers asked about.", "key")
    server_crops = _CounterOf("Parts of callers' pictures that the model looked at.", "key")
    server_tokens = _CounterOf(
        "Tokens of callers' requests: of pictures, texts, reasoning and answers.", "key", "kind"
    )
    server_seconds = _Spread(
        "Seconds from a request's arrival to the end of its answer.",
        "skill",
        buckets=LATENCY_BUCKETS,
    )
    server_queue_seconds = _Spread(
        "Seconds that a request waited for the model.", "skill", buckets=LATENCY_BUCKETS
    )
    server_first_token_seconds = _Spread(
        "Seconds from putting a request in line to the first token of its answer.",
        "skill",
        buckets=LATENCY_BUCKETS,
    )
    server_waiting = _Measured("Requests of callers that wait for the model.")
    server_running = _Measured("Requests of callers that the model is working on.")
    server_overloads = _CounterOf("Requests refused because the model had too much to do.")
    server_refused = _CounterOf(
        "Requests refused by their key: key (no valid one), scope, rate, at_once or day.", "reason"
    )
    ledger_written = _CounterOf("Requests of callers written to the accounts.")
    ledger_waiting = _Measured(
        "Requests that wait, in memory or in a file, to be written to the accounts."
    )
    ledger_lost = _CounterOf("Requests missing in the accounts: there was no room to keep them.")
    stage_restarts = _Measured("Times `run` has restarted a stage's process.", "stage")

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.made: dict[str, Any] = {
            name: metric.make(self.registry)
            for name, metric in vars(type(self)).items()
            if isinstance(metric, _Metric)
        }

    def value(self, name: str, **labels: str) -> float:
        """The current value of one sample, 0 where nothing was recorded."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def by_labels(self, name: str) -> dict[tuple[str, ...], float]:
        """All values of one sample, by its label values in the order they were declared."""
        return self.tables(name)[name]

    def tables(self, *names: str) -> dict[str, dict[tuple[str, ...], float]]:
        """The values of several samples, collected in one pass."""
        values: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in names}
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name in values:
                    values[sample.name][tuple(sample.labels.values())] = sample.value
        return values

    def exposition(self) -> bytes:
        """Everything in the Prometheus text format."""
        return generate_latest(self.registry)
