"""How jobs and results travel between the stages. Knows no camera, engine or rule."""

from typing import Annotated

from pydantic import Field

from connectors.queues.memory import MemoryConfig
from connectors.queues.redis import RedisConfig

QueueConfig = Annotated[MemoryConfig | RedisConfig, Field(discriminator="type")]
