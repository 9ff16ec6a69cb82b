"""How jobs and results travel between the stages. Knows no camera, engine or rule."""

from connectors.queues.memory import MemoryConfig

QueueConfig = MemoryConfig
