"""Links to pictures and clips: who makes them for the sinks, and who serves them."""

import logging
from functools import lru_cache

from pipeline.core.clock import Clock
from pipeline.core.marked_pictures import drawn
from pipeline.core.sinks import MakesLink, no_link
from pipeline.core.store import Store
from pipeline.delivery.links import OWNER, MediaLinks, NotedKeys
from pipeline.delivery.media_pages import MediaPages
from pipeline.deployment.model import Deployment
from pipeline.telemetry.http import MakesPage

_log = logging.getLogger(__name__)


class _KeysOfStore:
    """The key, read from a store that is opened for that alone."""

    def __init__(self, deployment: Deployment, clock: Clock) -> None:
        self._deployment, self._clock = deployment, clock

    def make(self) -> bytes:
        """Made as well where there is none."""
        store = self._deployment.store.build(self._clock)
        try:
            return NotedKeys(store.notes_of(OWNER)).make()
        finally:
            store.close()

    def known(self) -> bytes | None:
        """The key, if there is one."""
        store = self._deployment.store.build_reader(self._clock)
        try:
            return NotedKeys(store.notes_of(OWNER)).known()
        finally:
            store.close()


def link_maker(deployment: Deployment, store: Store, clock: Clock) -> MakesLink:
    """What makes links for the sinks; without `web.public_url` there are none."""
    web = deployment.web
    if web.public_url is None:
        return no_link
    keys = NotedKeys(store.notes_of(OWNER))
    return MediaLinks(keys, clock, web.public_url, web.links_for.total_seconds()).link


def file_pages(deployment: Deployment, clock: Clock) -> MakesPage:
    """What answers links, in whatever process; without `web.public_url` there are none to answer.

    A later version of the file may have it, and another address changes no link's path.
    """
    links = MediaLinks(_KeysOfStore(deployment, clock), clock, "", 0.0)
    build_media = lru_cache(maxsize=1)(deployment.store.build_media)

    def read(reference: str) -> bytes | None:
        content = build_media().read(reference)
        return None if content is None else drawn(content)

    return MediaPages(links, read).page


def say_if_nothing_serves(deployment: Deployment) -> None:
    """Warn of links that this process makes and does not serve."""
    wanting = [name for name, sink in deployment.sinks.items() if sink.needs_links]
    if wanting:
        _log.warning(
            "sink %s sends links, and nothing serves them here: start this with --http ADDRESS, to "
            "which %s leads, unless another process with the same store does",
            ", ".join(wanting),
            deployment.web.public_url,
        )
