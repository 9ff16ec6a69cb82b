"""How jobs and results travel between the stages. Knows no camera, engine or rule."""

from typing import TYPE_CHECKING, TypeAlias

from pipeline.core.one_of import one_of

if TYPE_CHECKING:
    from connectors.queues.memory import MemoryConfig
    from connectors.queues.redis import RedisConfig

    QueueConfig: TypeAlias = MemoryConfig | RedisConfig
    """Any queue, told apart by `type`."""
else:
    QueueConfig = one_of(__name__, memory="MemoryConfig", redis="RedisConfig")

__all__ = ["QueueConfig"]
