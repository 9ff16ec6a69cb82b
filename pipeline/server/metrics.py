"""What requests to the model add to the metrics."""

from pipeline.core.accounts import LedgerEntry
from pipeline.server.limits import KeyGate
from pipeline.telemetry.metrics import Metrics


def count_request(metrics: Metrics, entry: LedgerEntry) -> None:
    """Count a request that has ended, however it ended."""
    skill, key = entry.skill, entry.key_name
    metrics.server_requests.labels(skill, key, str(entry.status)).inc()
    if entry.error == "overloaded":
        metrics.server_overloads.inc()
    metrics.server_pictures.labels(key).inc(entry.pictures)
    metrics.server_crops.labels(key).inc(entry.crops)
    for kind, tokens in (
        ("picture", entry.image_tokens),
        ("text", entry.prompt_tokens - entry.image_tokens),
        ("reasoning", entry.reasoning_tokens),
        ("answer", entry.completion_tokens - entry.reasoning_tokens),
    ):
        metrics.server_tokens.labels(key, kind).inc(max(0, tokens))
    metrics.server_seconds.labels(skill).observe(entry.seconds)
    if entry.prompt_tokens:
        metrics.server_queue_seconds.labels(skill).observe(entry.queued_ms / 1000)
        first_s = (entry.queued_ms + entry.prefill_ms) / 1000
        metrics.server_first_token_seconds.labels(skill).observe(first_s)


def count_accounts(metrics: Metrics, gate: KeyGate) -> None:
    """Bring what the gate and the ledger have counted since the last time into the metrics."""
    state = gate.ledger.state
    refused, written, lost = gate.news()
    for reason, count in refused.items():
        metrics.server_refused.labels(reason).inc(count)
    metrics.ledger_written.inc(written)
    metrics.ledger_lost.inc(lost)
    metrics.ledger_waiting.set(state.waiting + state.spooled)
