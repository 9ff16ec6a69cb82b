"""What becomes of messages to browsers, for whoever sees all of the deployment."""

from pydantic import BaseModel

from connectors.stores.sql import SqlStore
from pipeline.core.pushing import PushOutcome
from pipeline.deployment.model import Deployment

_SINCE_S = 86_400.0


class PushStatus(BaseModel):
    """Messages to browsers. Counts are those of today and yesterday, by days of UTC."""

    devices: int
    waiting: int
    sent: int
    dropped: int
    """Refused by a push service, or given up after an hour."""
    gone: int
    """Devices that were removed, as their push service does not know them any more."""
    failing: int
    """Devices whose push service did not take the last message."""


def push_status_of(deployment: Deployment, store: SqlStore, now: float) -> PushStatus | None:
    """None where the file says that nobody is told. Raises StoreError."""
    if deployment.web.push is None:
        return None
    devices, counts = store.pushing.devices(), store.pushing.outcomes(now - _SINCE_S)
    return PushStatus(
        devices=len(devices),
        waiting=store.pushing.waiting(),
        sent=counts.get(PushOutcome.SENT, 0),
        dropped=counts.get(PushOutcome.REFUSED, 0) + counts.get(PushOutcome.TOO_OLD, 0),
        gone=counts.get(PushOutcome.GONE, 0),
        failing=sum(bool(device.trouble) for device in devices),
    )
