"""Who is near a thing, or in front of it: by a second task that finds people."""

import math

from pipeline.core.geometry import Box, bottom_centre
from pipeline.core.rules import Observation
from pipeline.core.tracks import Track
from pipeline.rules.context import RuleContext
from pipeline.rules.groups import BODY_M
from pipeline.rules.stands import Stand, shared
from pipeline.rules.unattended import ThingFields

COVERED = 0.3
"""A person's box that has this much in common with a thing may hide it."""
STAYS_S = 3.0
"""Who is near for less than this passes by."""


class Company:
    """Notes on each stand when somebody was with it, or in front of it."""

    def __init__(self, config: ThingFields, context: RuleContext) -> None:
        self._people = config.people
        self._near = config.near
        self._aspect = context.aspect

    def see(self, seen: Observation, stands: list[Stand]) -> None:
        """Process a frame in which people may be seen."""
        if self._people is None or self._people not in seen.beside:
            return
        people = seen.beside[self._people]
        for stand in stands:
            if any(shared(person.box, stand.box) >= COVERED for person in people):
                stand.covered_at = seen.at
            if not any(self._is_near(person, stand.box) for person in people):
                stand.near_since = None
                continue
            if stand.near_since is None:
                stand.near_since = seen.at
            stays = seen.at - stand.near_since >= STAYS_S
            if stays or seen.at <= stand.since + STAYS_S:  # who put it down
                stand.attended_at = seen.at

    def _is_near(self, person: Track, thing: Box) -> bool:
        height = person.box[3] - person.box[1]
        feet, place = person.anchor, bottom_centre(thing)
        wide = (thing[2] - thing[0]) * self._aspect / 2
        across = max(0.0, abs(feet[0] - place[0]) * self._aspect - wide)
        away = math.hypot(across, feet[1] - place[1])
        return away / max(height, 1e-6) * BODY_M <= self._near
