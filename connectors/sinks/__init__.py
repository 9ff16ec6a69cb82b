"""Where events go. To add a sink: one file with its config and its class, and one name below."""

from typing import Annotated

from pydantic import Field

from connectors.sinks.jsonl import JsonlConfig
from connectors.sinks.stdout import StdoutConfig
from connectors.sinks.webhook import WebhookConfig

SinkConfig = Annotated[JsonlConfig | StdoutConfig | WebhookConfig, Field(discriminator="type")]
"""Any sink, told apart by `type`."""

__all__ = ["JsonlConfig", "SinkConfig", "StdoutConfig", "WebhookConfig"]
