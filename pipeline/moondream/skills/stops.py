"""Stop words: text ends before the first of them, and not even half of one is handed out.

Knows nothing of requests, only of text that comes in tokens.
"""

from collections.abc import Sequence

from pipeline.moondream.checkpoints.tokenizer import TextStream
from pipeline.moondream.errors import RequestError
from pipeline.moondream.types import MAX_STOP_LETTERS, MAX_STOPS

HALF = "\ufffd"  # stands for a character whose last bytes are still to come


class StopStream:
    """Turns tokens into pieces of text, as `TextStream` does, up to a stop word.

    What may be the beginning of a stop word is held back until more is known.
    """

    def __init__(self, stream: TextStream, stops: Sequence[str]) -> None:
        self._stream, self._stops = stream, stops
        self._held = ""
        self.has_stopped = False

    def push(self, token: int) -> str:
        """Take one token and return the text that is now certain, often none."""
        self._held += self._stream.push(token)
        if not self._stops:
            return self._give(len(self._held))
        # Half a character at the end says nothing yet.
        seen = self._held + self._stream.pending.rstrip(HALF)
        stop = first_stop(seen, self._stops)
        if stop is not None:
            return self._stop(seen, stop)
        return self._give(min(len(self._held), last_certain(seen, self._stops)))

    def finish(self) -> str:
        """Return what was held back, up to a stop word that its last characters make."""
        self._held += self._stream.finish()
        stop = first_stop(self._held, self._stops)
        if stop is not None:
            return self._stop(self._held, stop)
        return self._give(len(self._held))

    def _stop(self, seen: str, start: int) -> str:
        self.has_stopped = True
        self._held = ""
        return seen[:start]

    def _give(self, count: int) -> str:
        piece, self._held = self._held[:count], self._held[count:]
        return piece


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Return where the stop word starts that is complete first; of several the longest.

    That does not depend on how the text was cut into tokens.
    """
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def last_certain(text: str, stops: Sequence[str]) -> int:
    """Return how much of a text without stop words cannot become part of one any more."""
    longest = max(map(len, stops))
    for start in range(max(len(text) - longest + 1, 0), len(text)):
        if any(stop.startswith(text[start:]) for stop in stops):
            return start
    return len(text)


def checked_stops(stops: object) -> tuple[str, ...]:
    """Return stop words as they were given, or raise RequestError."""
    if not isinstance(stops, list | tuple) or len(stops) > MAX_STOPS:
        raise RequestError(f"stop is {stops!r:.200}; give a list of at most {MAX_STOPS} texts")
    for stop in stops:
        if not isinstance(stop, str) or not 1 <= len(stop) <= MAX_STOP_LETTERS:
            raise RequestError(
                f"a stop word is {stop!r:.60}; it must be a text of 1 to {MAX_STOP_LETTERS} letters"
            )
    return tuple(stops)
