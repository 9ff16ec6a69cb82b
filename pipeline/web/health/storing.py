"""How large the store is, and for how long its disk lasts."""

import shutil

from pydantic import BaseModel

from connectors.stores.sql import SqlStore
from pipeline.deployment.model import Deployment

_DAY_S = 86_400.0
_SHORTEST_S = _DAY_S
"""From less than a day nobody can tell how fast a store grows."""


class StorageStatus(BaseModel):
    """The store and what it keeps beside it. None stands for unknown."""

    place: str
    bytes: int
    """Of the database."""
    media_bytes: int
    """Of the pictures and clips that it knows of."""
    free_bytes: int | None
    """Of the disk on which its file is; None for a server."""
    grows_bytes_a_day: float | None
    """On average since its first minute."""
    days_left: float | None
    """Until the disk is full, if it goes on like this and nothing is deleted."""
    since: float | None
    """When its first minute began."""
    trouble: str | None


def storage_of(deployment: Deployment, store: SqlStore, now: float) -> StorageStatus:
    """How much there is of it; raises StoreError."""
    facts = store.facts()
    media = store.picture_bytes() + store.clips.clip_bytes()
    file = deployment.store.file
    free = None
    if file is not None:
        try:
            free = shutil.disk_usage(file.parent).free
        except OSError:
            free = None
    first = min((one.first for one in store.history.extents()), default=None)
    grows = None
    # A recording of the past is written within minutes: its times say nothing about growth.
    is_live = any(not one.source.is_recording for one in deployment.cameras.values())
    if is_live and first is not None and now - first >= _SHORTEST_S:
        grows = (facts.bytes + media) / ((now - first) / _DAY_S)
    return StorageStatus(
        place=file.name if file is not None else "PostgreSQL",
        bytes=facts.bytes,
        media_bytes=media,
        free_bytes=free,
        grows_bytes_a_day=grows,
        days_left=free / grows if free is not None and grows else None,
        since=first,
        trouble=facts.trouble,
    )
