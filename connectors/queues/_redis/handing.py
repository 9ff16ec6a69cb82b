"""Handing results on: both by those who publish some and by workers who answer jobs with them."""

from dataclasses import replace
from typing import Any

from connectors.queues._redis.link import Link
from pipeline.core.answers import Failed
from pipeline.core.clock import Clock
from pipeline.core.errors import QueueError
from pipeline.core.jobs import Result
from pipeline.core.partitions import partition_of
from pipeline.core.wire import encode_result


def packed(result: Result, partitions: int) -> tuple[int, bytes]:
    """A result's partition and its bytes."""
    try:
        data = encode_result(result)
    except QueueError as error:
        # A result that cannot travel is a failed one; without it a file would wait for ever.
        failed = {task: Failed(result.engine, str(error)) for task in result.answers}
        data = encode_result(replace(result, answers=failed))
    return partition_of(result.camera, partitions), data


def hand_on(link: Link, clock: Clock, wait_s: float, script: str, *args: Any) -> bool:
    """Run a script until there is room; False when there was none, or no Redis, for `wait_s`."""
    until = clock.monotonic() + wait_s
    while True:
        try:
            done, *full = link.script(script, *args)
        except QueueError:
            done = False
            full = []
        if done:
            return True
        left_s = until - clock.monotonic()
        if left_s <= 0:
            return False
        if full:
            link.wait_for({f"bell:room:results:{full[0].decode()}": full[1]}, left_s)
        else:
            link.pause(left_s)
