"""The clips of audits, cut when they are asked for and kept for a while."""

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import Final

from pipeline.core.audits import Audit
from pipeline.insight.auditing import DrawnClip
from pipeline.render.audit_drawing import AuditFootage, EventMedia, footage_of
from pipeline.web.problems import WebError
from pipeline.web.state import WebState

_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_SOURCES: Final = 8
_TURN_S: Final = 60.0


class AuditClips:
    """Cuts one clip at a time: whoever counts looks at one, and the next is cut meanwhile.

    Another version of the file may have other masks and lines, so nothing is kept beyond it.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[str, bytes]] = OrderedDict()
        self._sources: OrderedDict[Hashable, AuditFootage | EventMedia] = OrderedDict()

    def cut(self, state: WebState, audit: Audit, clip: DrawnClip) -> tuple[str, bytes] | None:
        """A clip's name and content; None where there are no pictures of it.

        Raises WebError 503 where others are cut for too long, SourceError and StoreError.
        """
        key = (state.file.loaded.digest, audit.id, clip.name)
        found = self._remembered(key)
        if found is not None:
            return found
        if not self._turn.acquire(timeout=_TURN_S):
            raise WebError(503, "other clips are being cut; try again in a moment", retry_after_s=5)
        try:
            # Who waited for his turn may have waited for this very clip.
            return self._remembered(key) or self._made(state, audit, clip, key)
        finally:
            self._turn.release()

    def _made(
        self, state: WebState, audit: Audit, clip: DrawnClip, key: Hashable
    ) -> tuple[str, bytes] | None:
        source = self._source(state, audit)
        with tempfile.TemporaryDirectory(prefix="moonwatch-") as folder:
            path = source.write(state.deployment, audit, clip.span, Path(folder) / clip.name)
            if path is None:
                return None
            made = (path.name, path.read_bytes())
        with self._lock:
            self._kept[key] = made
            while sum(len(content) for _, content in self._kept.values()) > _MOST_BYTES:
                self._kept.popitem(last=False)
        return made

    def _remembered(self, key: Hashable) -> tuple[str, bytes] | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def _source(self, state: WebState, audit: Audit) -> AuditFootage | EventMedia:
        """Only who has his turn comes here."""
        key = (state.file.loaded.digest, audit.id)
        found = self._sources.get(key)
        if found is None:
            found = footage_of(state.deployment, state.store, audit)
            self._sources[key] = found
            while len(self._sources) > _MOST_SOURCES:
                self._sources.popitem(last=False)
        return found
