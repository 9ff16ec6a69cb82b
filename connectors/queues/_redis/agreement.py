"""Settings that all processes of a deployment must share; remembered while one of them is alive."""

from datetime import timedelta

from connectors.queues._redis.link import Link


class RedisAgreement:
    """What the processes at work go by; see `pipeline.core.presence.Agreement`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def agree(self, setting: str, value: int, ttl: timedelta) -> int:
        """Say for `ttl` what a setting is here; returns what it is where work goes on already."""
        ttl_ms = max(1, round(ttl.total_seconds() * 1000))
        return int(self._link.script("agree", setting, value, ttl_ms))
