"""What a server is busy with, so that it can be stopped without losing a request."""

import threading
from types import TracebackType
from typing import Self


class WorkInHand:
    """Counts requests that are being answered; usable from any thread."""

    def __init__(self) -> None:
        self.is_ending = False
        """Whether new requests are refused, because the server is being stopped."""
        self._changed = threading.Condition()
        self._running = 0

    @property
    def running(self) -> int:
        """How many are being answered."""
        return self._running

    def __enter__(self) -> Self:
        with self._changed:
            self._running += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def end(self, within_s: float) -> bool:
        """Refuse new requests and wait for those that run; whether all were finished in time."""
        self.is_ending = True
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, within_s)
