"""Tells the run that the application belongs to what is wrong with it, where they are processes."""

import os
import socket
from contextlib import suppress
from typing import Final

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError
from pipeline.runtime.reports import TTL, Report, new_member
from pipeline.web.state import WebState

STAGE: Final = "web"
_EVERY_S = 1.0


class ApplicationReporter:
    """Publishes the application's troubles beside the reports of the stages. Used by one thread.

    While all is well it says nothing, and what it said expires.
    """

    def __init__(self, state: WebState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._member = new_member(STAGE)
        self._began = self._told_at = clock.monotonic()

    def poll(self) -> None:
        """Say what is wrong, at most once a second; nothing happens if Redis is out of reach."""
        now = self._clock.monotonic()
        live = self._state.live
        if live is None or not isinstance(live.queues, RedisQueues):
            return  # the run is in this process, or nothing connects it with this one
        if now - self._told_at < _EVERY_S:
            return
        self._told_at = now
        if not (troubles := self._state.troubles()):
            return
        up_s = round(now - self._began, 1)
        report = Report(
            STAGE, socket.gethostname(), os.getpid(), up_s, troubles=troubles, is_beside=True
        )
        with suppress(QueueError):  # the pages say so
            live.queues.presence.say(self._member, report.to_bytes(), TTL)
