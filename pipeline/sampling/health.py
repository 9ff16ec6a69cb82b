"""Reports a camera's state: changes only, each once."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from pipeline.core.measures import Health
from pipeline.core.sources import CameraClockState
from pipeline.sampling.watch import Change
from pipeline.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_WRONG_CLOCK = (
    "has a wrong clock: %s; set it by NTP, lower the camera's frame rate or update its firmware"
)
# A camera may put anything into its answers, something new each time.
_MOST_SAID = 50


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
        self._since = 0.0
        self._detail = ""
        # Every detail that was said since the camera went offline: two that take turns at each
        # attempt are said once each.
        self._said: set[str] = set()
        self._is_useless = False

    @property
    def is_offline(self) -> bool:
        """Whether the camera was last reported as offline."""
        return self._online is False

    def online(self, at: float) -> None:
        """A picture came, captured `at`. That is not enough where none could be used before."""
        if not self._online and not self._is_useless:
            self._come_back(at)

    def used(self, at: float) -> None:
        """A picture became a frame."""
        if not self._online or self._is_useless:
            self._come_back(at)

    def _come_back(self, at: float) -> None:
        with self._lock:
            self._is_useless = False
            if self._online:
                return
            self._online = True
            self._up.set(1)
            self._say(Health(self._camera, at, "online"))

    def useless(self, at: float, reason: str) -> None:
        """Pictures arrive, and for this reason none becomes a frame: as good as none."""
        self._is_useless = True
        self.offline(at, reason)

    def offline(self, at: float, detail: str) -> None:
        """No pictures arrive, for this reason.

        Another reason for the same absence is reported as of its beginning.
        """
        with self._lock:
            self._up.set(0)
            if self._online is not False:
                self._online, self._since = False, at
                self._said.clear()
            elif detail == self._detail:
                return
            self._detail = detail
            health = Health(self._camera, self._since, "offline", detail)
            if detail in self._said:
                self._on_health(health)
                return
            if len(self._said) >= _MOST_SAID:
                self._said.clear()
            self._said.add(detail)
            again = "still " if len(self._said) > 1 else ""
            self._say(health, logging.WARNING, again)

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
        if change.is_trouble:
            level = logging.WARNING
        with self._lock:
            self._say(Health(self._camera, at, change.state, change.detail), level)

    def clock(self, at: float, state: CameraClockState, *, is_repeat: bool) -> None:
        """The camera's clock became wrong, or is right; `is_repeat` if that was said before."""
        with self._lock:
            extra = {"camera": self._camera}
            level = logging.INFO if state.is_right else logging.WARNING
            level = logging.DEBUG if is_repeat else level
            name = "clock_right" if state.is_right else "clock"
            said = f": {state.words}" if state.is_right else f" {_WRONG_CLOCK % state.words}"
            logger.log(level, "camera %s%s", self._camera, said, extra=extra)
            self._on_health(Health(self._camera, at, name, state.words, state.rate))

    def _say(self, health: Health, level: int = logging.INFO, still: str = "") -> None:
        state = f"{health.state}: {health.detail}" if health.detail else health.state
        state = f"{still}{state}"
        logger.log(level, "camera %s is %s", health.camera, state, extra={"camera": health.camera})
        self._on_health(health)
