"""Every metric of moonwatch, in one list. Labels are bounded: cameras, engines, sinks, reasons."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One set of metrics, made by `app` and handed to every stage of a process."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.frames_received = Counter(
            "moonwatch_frames_received",
            "Pictures read from a source.",
            ["camera"],
            registry=registry,
        )
        self.frames_sampled = Counter(
            "moonwatch_frames_sampled",
            "Frames put on the queue.",
            ["camera"],
            registry=registry,
        )
        self.frames_dropped = Counter(
            "moonwatch_frames_dropped",
            "Frames lost on the way, by reason.",
            ["camera", "reason"],
            registry=registry,
        )
        self.camera_up = Gauge(
            "moonwatch_camera_up",
            "1 while a camera gives pictures.",
            ["camera"],
            registry=registry,
        )
        self.camera_failures = Counter(
            "moonwatch_camera_failures",
            "Times a source could not be opened or read, by reason.",
            ["camera", "reason"],
            registry=registry,
        )
        self.camera_gap_seconds = Counter(
            "moonwatch_camera_gap_seconds",
            "Live video missed between losing a camera and its next picture.",
            ["camera"],
            registry=registry,
        )
        self.jobs_answered = Counter(
            "moonwatch_jobs_answered",
            "Jobs answered by an engine.",
            ["camera", "engine"],
            registry=registry,
        )
        self.tasks_failed = Counter(
            "moonwatch_tasks_failed",
            "Tasks an engine could not answer.",
            ["camera", "engine"],
            registry=registry,
        )
        self.jobs_retried = Counter(
            "moonwatch_jobs_retried",
            "Jobs claimed again after a worker did not finish them.",
            ["engine"],
            registry=registry,
        )
        self.batch_size = Histogram(
            "moonwatch_batch_size",
            "Jobs answered together.",
            ["engine"],
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self.answer_seconds = Histogram(
            "moonwatch_answer_seconds",
            "Time an engine took for a batch.",
            ["engine"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.queue_length = Gauge(
            "moonwatch_queue_length", "Jobs waiting.", ["engine"], registry=registry
        )
        self.queue_oldest_seconds = Gauge(
            "moonwatch_queue_oldest_seconds",
            "Age of the oldest waiting frame.",
            ["engine"],
            registry=registry,
        )
        self.results_judged = Counter(
            "moonwatch_results_judged",
            "Results judged by the rules.",
            ["camera"],
            registry=registry,
        )
        self.results_passed_over = Counter(
            "moonwatch_results_passed_over",
            "Results not judged: late, duplicate or missing.",
            ["camera", "reason"],
            registry=registry,
        )
        self.end_to_end_seconds = Histogram(
            "moonwatch_end_to_end_seconds",
            "From the moment the light fell to the judgement, live cameras only.",
            ["camera"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.events = Counter(
            "moonwatch_events",
            "Events kept, by rule.",
            ["camera", "rule", "phase"],
            registry=registry,
        )
        self.events_delivered = Counter(
            "moonwatch_events_delivered", "Events a sink accepted.", ["sink"], registry=registry
        )
        self.delivery_failures = Counter(
            "moonwatch_delivery_failures",
            "Attempts a sink did not accept.",
            ["sink"],
            registry=registry,
        )
        self.events_undelivered = Counter(
            "moonwatch_events_undelivered",
            "Events given up on and kept as dead letters.",
            ["sink"],
            registry=registry,
        )
        self.sink_behind = Gauge(
            "moonwatch_sink_behind", "Events waiting for a sink.", ["sink"], registry=registry
        )

    def value(self, name: str, **labels: str) -> float:
        """The current value of one sample, 0 where nothing was recorded."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def by_labels(self, name: str) -> dict[tuple[str, ...], float]:
        """All values of one sample, by its label values in the order they were declared."""
        values: dict[tuple[str, ...], float] = {}
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name == name:
                    values[tuple(sample.labels.values())] = sample.value
        return values

    def exposition(self) -> bytes:
        """Everything in the Prometheus text format."""
        return generate_latest(self.registry)
