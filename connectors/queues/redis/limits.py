"""The bounds of a Redis queue, in the units its scripts use."""

from dataclasses import dataclass

# What a live job's keys outlive its longest possible life by.
_MARGIN_MS = 60_000
# How long a file's numbering is remembered after its last job: longer than any repair of workers.
_FILE_FLIGHT_MS = 7 * 24 * 3_600_000
_LIVE_FLIGHT_MS = 3_600_000
UNTAKEN_MS = 60_000
"""How long a file's picture stays whose job was not taken, or not yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Rooms in entries, times in milliseconds."""

    live_room: int
    file_room: int
    results_room: int
    live_age_ms: int
    visibility_ms: int
    max_attempts: int
    dead_letters: int
    partitions: int
    keep_ms: int

    @property
    def live_ms(self) -> int:
        """How long a live lane and its pictures can be of use after the last put."""
        return self.live_age_ms + self.visibility_ms * self.max_attempts + _MARGIN_MS

    def flight_ms(self, *, live: bool) -> int:
        """How long the numbers of a run's jobs on their way are remembered."""
        return max(_LIVE_FLIGHT_MS, self.live_ms) if live else _FILE_FLIGHT_MS
