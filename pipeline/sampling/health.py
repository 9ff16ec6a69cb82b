"""Reports a camera's state: changes only, each once."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from pipeline.core.measures import Health
from pipeline.sampling.watch import Change
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class CameraHealth:
    """Reports when a camera goes online or offline. Called by its own thread and its watcher's."""

    def __init__(self, camera: str, on_health: Callable[[Health], None], metrics: Metrics) -> None:
        self._camera = camera
        self._on_health = on_health
        self._metrics = metrics
        self._up = metrics.camera_up.labels(camera)
        self._up.set(0)
        self._lock = threading.Lock()
        self._online: bool | None = None
        self._reason = ""

    @property
    def is_offline(self) -> bool:
        """Whether the camera was last reported as offline."""
        return self._online is False

    def online(self, at: float) -> None:
        """A picture came, captured `at`."""
        with self._lock:
            if self._online:
                return
            self._online = True
            self._up.set(1)
            self._say(Health(self._camera, at, "online"))

    def offline(self, at: float, reason: str) -> None:
        """No pictures arrive, for this reason."""
        with self._lock:
            self._up.set(0)
            if self._online is False:
                if reason != self._reason:
                    logger.warning("camera %s is still offline: %s", self._camera, reason)
                self._reason = reason
                return
            self._online, self._reason = False, reason
            self._say(Health(self._camera, at, "offline", reason))

    def ended(self) -> None:
        """A file has ended: there are no more pictures, and nothing is wrong."""
        with self._lock:
            self._up.set(0)

    def forget(self) -> None:
        """The camera is sampled elsewhere or no longer: stop reporting it."""
        with self._lock, suppress(KeyError):
            self._metrics.camera_up.remove(self._camera)

    def picture(self, at: float, change: Change) -> None:
        """The picture's own state changed, or became known: frozen, moving, black or visible."""
        level = logging.DEBUG if change.is_first_word else logging.INFO
        with self._lock:
            self._say(Health(self._camera, at, change.state, change.detail), level)

    def _say(self, health: Health, level: int = logging.INFO) -> None:
        state = f"{health.state}: {health.detail}" if health.detail else health.state
        logger.log(level, "camera %s is %s", health.camera, state, extra={"camera": health.camera})
        self._on_health(health)
