"""Whether a server is there, takes the key and has the model: `moonwatch check --probe`."""

import asyncio
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pipeline.core.clock import SystemClock
from pipeline.core.errors import EngineError
from pipeline.core.ranges import one_line
from pipeline.inference.engines._remote.transport import RefusedError, Transport
from pipeline.inference.engines.remote import RemoteConfig

_MOST_NAMES = 20


def probe(config: RemoteConfig) -> Iterator[str]:
    """What is wrong, as sentences; nothing is asked about a picture."""
    try:
        names = models_of(asyncio.run(_asked(config)))
    except (RefusedError, EngineError) as error:
        yield str(error)
        return
    if names is None:
        yield f"{config.place} does not say which models it has; is its address right?"
    elif config.model is not None and config.model not in names:
        near = get_close_matches(config.model, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        more = ", ..." if len(names) > _MOST_NAMES else ""
        there = ", ".join(names[:_MOST_NAMES]) + more if names else "none"
        yield f"{config.place} has no model {config.model!r}; {hint}There are: {there}"


def models_of(read: dict[str, Any]) -> list[str] | None:
    """The names in a list of models: OpenAI's, or Moondream Station's."""
    listed = read.get("data", read.get("models"))
    if not isinstance(listed, list):
        return None
    named = [one.get("id") for one in listed if isinstance(one, dict)]
    return [one_line(name)[:100] for name in named if isinstance(name, str)]


async def _asked(config: RemoteConfig) -> dict[str, Any]:
    transport = Transport(config, SystemClock())
    try:
        return await transport.get("/models")
    finally:
        await transport.close()
