"""Deletes what is older than the deployment keeps."""

import logging

from connectors.stores import FileMediaStore
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.store import Store
from pipeline.deployment.model import Deployment

logger = logging.getLogger(__name__)

_PRUNE_EVERY_S = 3600.0


class Retention:
    """Deletes what is older than the deployment keeps."""

    def __init__(
        self, deployment: Deployment, store: Store, media: FileMediaStore, clock: Clock
    ) -> None:
        self._keep = deployment.store.keep
        self._store = store
        self._media = media
        self._clock = clock
        self._pruned_at = float("-inf")
        self.trouble: str | None = None
        """Why deleting failed the last time; None if it succeeded."""

    def update(self, deployment: Deployment) -> None:
        """Apply another version of the file."""
        self._keep = deployment.store.keep

    def look(self) -> None:
        """Delete what is too old, once an hour."""
        now = self._clock.monotonic()
        if self._keep is None or now - self._pruned_at < _PRUNE_EVERY_S:
            return
        self._pruned_at = now
        before = self._clock.now() - self._keep.total_seconds()
        try:
            self._store.prune(before)
            self._media.prune(before)
        except StoreError as error:  # the next hour tries again
            trouble = f"what is older than `store.keep` cannot be deleted: {error}"
            if self.trouble is None:
                logger.error("%s", trouble)  # noqa: TRY400
            self.trouble = trouble
        else:
            if self.trouble is not None:
                logger.info("what is older than `store.keep` is deleted again")
            self.trouble = None
