"""What a Redis says of itself that an operator has to know: full, evicting, not saving."""

from collections.abc import Iterator, Mapping

# Above this share of `maxmemory` it refuses some frames already.
_FULL_SHARE = 0.98
_MEGABYTE = 1_000_000


def read_info(text: bytes) -> dict[str, str]:
    """The values of an answer to INFO, by name."""
    lines = text.decode("utf-8", "replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def troubles_in(name: str, info: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the server of this name: a word, and a sentence that says what helps."""
    yield from _of_memory(name, info)
    if info.get("role") == "slave":
        yield "replica", replica(name)
    if info.get("loading") == "1":
        yield "loading", f"{name} is loading its data from disk; it answers once that is done"
    broken = [
        what
        for key, what in (
            ("rdb_last_bgsave_status", "a snapshot"),
            ("aof_last_write_status", "its append-only file"),
            ("aof_last_bgrewrite_status", "a rewrite of its append-only file"),
        )
        if info.get(key, "ok") != "ok"
    ]
    if broken:
        yield (
            "broken",
            (
                f"{name} could not write {' and '.join(broken)}; free space on its disk and see "
                "its log, or a restart of it loses what it holds"
            ),
        )


def _of_memory(name: str, info: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    most = _number(info, "maxmemory")
    if not most:
        return
    policy = info.get("maxmemory_policy", "noeviction")
    used = _number(info, "used_memory") - _number(info, "mem_not_counted_for_evict")
    if policy != "noeviction":
        evicted = _number(info, "evicted_keys")
        so_far = f"; it has evicted {evicted} keys since its start" if evicted else ""
        yield (
            "evicts",
            (
                f"{name} deletes frames, results and positions when it is full (`maxmemory-policy "
                f"{policy}`){so_far}; set `maxmemory-policy noeviction`"
            ),
        )
    elif used >= _FULL_SHARE * most:
        yield "full", full(name, f"{used / _MEGABYTE:.0f} MB of {most / _MEGABYTE:.0f} MB")


def full(name: str, how_much: str = "") -> str:
    """The sentence for a Redis without memory."""
    figures = f" ({how_much})" if how_much else ""
    return (
        f"{name} is full{figures} and takes no more frames; raise its `maxmemory`, sample fewer "
        "frames, or shorten `queue.keep_pictures`"
    )


def replica(name: str) -> str:
    """The sentence for a Redis that may only be read."""
    return (
        f"{name} is a read-only replica; point `queue.url` at the primary, or at the Sentinels "
        "with redis+sentinel://"
    )


def _number(info: Mapping[str, str], name: str) -> int:
    value = info.get(name, "")
    return int(value) if value.isdecimal() else 0
