"""Where events go. To add a sink: one file with its config and its class, and its names below."""

from typing import TYPE_CHECKING, TypeAlias

from pipeline.core.one_of import one_of

if TYPE_CHECKING:
    from connectors.sinks.archive import ArchiveConfig
    from connectors.sinks.csv import CsvConfig
    from connectors.sinks.jsonl import JsonlConfig
    from connectors.sinks.kafka import KafkaConfig
    from connectors.sinks.mail import MailConfig
    from connectors.sinks.mqtt import MqttConfig
    from connectors.sinks.nats import NatsConfig
    from connectors.sinks.notify import NotifyConfig
    from connectors.sinks.redis_stream import RedisStreamConfig
    from connectors.sinks.stdout import StdoutConfig
    from connectors.sinks.webhook import WebhookConfig

    SinkConfig: TypeAlias = (
        ArchiveConfig
        | CsvConfig
        | JsonlConfig
        | KafkaConfig
        | MailConfig
        | MqttConfig
        | NatsConfig
        | NotifyConfig
        | RedisStreamConfig
        | StdoutConfig
        | WebhookConfig
    )
    """Any sink, told apart by `type`."""
else:
    SinkConfig = one_of(
        __name__,
        archive="ArchiveConfig",
        csv="CsvConfig",
        jsonl="JsonlConfig",
        kafka="KafkaConfig",
        mail="MailConfig",
        mqtt="MqttConfig",
        nats="NatsConfig",
        notify="NotifyConfig",
        redis_stream="RedisStreamConfig",
        stdout="StdoutConfig",
        webhook="WebhookConfig",
    )

__all__ = ["SinkConfig"]
