"""How long to rest after a failure: longer each time, and by chance, so that many do not come
back together ("full jitter", Marc Brooker, Exponential Backoff and Jitter, 2015).
"""

import random

_FIRST_S = 1.0
_LONGEST_S = 300.0
# What another side may ask for; more would look like a lane that hangs.
_LONGEST_ASKED_S = 3600.0


class Backoff:
    """Rests between attempts; `reset` after a success."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()
        self._failures = 0

    def next_s(self, asked_s: float | None = None) -> float:
        """Seconds to rest after one more failure, and at least what the other side asked for."""
        # Beyond 2^16 the longest rest has long been reached; a float would overflow in the end.
        ceiling = min(_LONGEST_S, _FIRST_S * 2 ** min(self._failures, 16))
        self._failures += 1
        return max(self._chance.uniform(0.0, ceiling), min(asked_s or 0.0, _LONGEST_ASKED_S))

    def reset(self) -> None:
        """The next failure is a first one again."""
        self._failures = 0
