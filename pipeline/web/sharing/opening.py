"""Opens a link: one secret, one picture or clip, and the same refusal for everything else.

What a link shows is decided anew each time it is opened, by what its maker may see then: whoever
is deleted, disabled or loses the camera takes his links along.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from pipeline.core.shared_links import SharedKind, SharedLink
from pipeline.web.access import secret_texts
from pipeline.web.access.entrance import OF_ADDRESS
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.events.finding import Finder
from pipeline.web.problems import WebError
from pipeline.web.state import WebState

DAY_S: Final = 86_400.0
REFUSED: Final = "This link does not open anything, or no longer does."
_ADMITTED_S: Final = 600.0
_MOST_ADMITTED: Final = 1000


@dataclass(frozen=True, slots=True)
class SharedMedia:
    """What a link opens."""

    link: SharedLink
    reference: str
    content: bytes
    at: float
    """When it happened, in UTC seconds."""


class Admitted:
    """Who has opened a link just now: a player asks for one clip in many parts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def admits(self, network: str, digest: str, now: float) -> bool:
        """Whether this was opened from there before; `now` is of the monotonic clock."""
        with self._lock:
            return self._until.get((network, digest), 0.0) > now

    def admit(self, network: str, digest: str, now: float) -> None:
        """It was opened."""
        with self._lock:
            self._until[(network, digest)] = now + _ADMITTED_S
            while len(self._until) > _MOST_ADMITTED:
                self._until.popitem(last=False)


def maker_of(state: WebState, name: str) -> Visitor | None:
    """Who may share, as what he is now; None where he may not, or could not sign in himself."""
    person = state.store.people.person(name)
    if not state.deployment.web.passwords or person is None or person.disabled_at is not None:
        return None
    visitor = Visitor.of_role(person.name, person.role, person.cameras)
    may = visitor.may(Permission.SHARE) and visitor.may(Permission.MEDIA)
    return visitor if may else None


def may_share(state: WebState, visitor: Visitor) -> bool:
    """Whether somebody may share as the user that he has signed in as by a password.

    What comes by a proxy, a provider or a token is not asked again when a link is opened.
    """
    maker = maker_of(state, visitor.name)
    is_user = visitor.session is not None and not visitor.is_of_provider
    return is_user and maker is not None and maker.permissions == visitor.permissions


def opened(state: WebState, admitted: Admitted, text: str, network: str) -> SharedMedia:
    """What a secret opens.

    Raises WebError 404 with the one sentence for all that does not open, 429 after too many
    failures from there, and StoreError.
    """
    now, digest = state.clock.now(), secret_texts.digest_of(text)
    people, key = state.store.people, f"shared {network}"
    is_known = admitted.admits(network, digest, state.clock.monotonic())
    # As at signing in: an attempt counts before it is known whether it fails.
    wait_s = 0.0 if is_known else people.attempt([(key, OF_ADDRESS)], now)
    if wait_s > 0.0:
        said = f"too many attempts have failed; try again in {max(1, round(wait_s))} s"
        raise WebError(429, said, retry_after_s=wait_s)
    # A secret is looked up by its hash: how long that takes says nothing about the secret. What
    # was never there, what has ended and what is over is the same to the store: no row.
    link = state.store.shared_links.link(digest, now)
    found = None if link is None else _shown(state, link, now)
    if found is None:
        raise WebError(404, REFUSED)
    if not is_known:
        people.succeeded(key)
        admitted.admit(network, digest, state.clock.monotonic())
    return found


def _shown(state: WebState, link: SharedLink, now: float) -> SharedMedia | None:
    share = state.deployment.web.share
    if share is None or now >= link.made_at + share.days * DAY_S:
        return None
    maker = maker_of(state, link.made_by)
    one = None
    if maker is not None:
        finder = Finder(state.deployment, state.store, state.clock, maker)
        one = finder.one(link.happening)
    if one is None:
        # For good: who gets the right or the camera back makes another one.
        state.store.shared_links.end_link(link.id)
        return None
    if link.kind is SharedKind.PICTURE:
        references = [reference for _, reference in one.pictures]
    else:
        clip = None if one.clip is None else state.store.clips.clip(one.clip)
        references = [] if clip is None else [file[0] for file in clip.files]
    if len(references) < link.nth:
        return None
    reference = references[link.nth - 1]
    content = state.media.read(reference)
    return None if content is None else SharedMedia(link, reference, content, one.began_at)
