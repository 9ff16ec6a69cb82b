"""Events and states to an MQTT broker, with entities that Home Assistant finds by itself."""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from connectors.sinks._base import BaseSinkConfig
from connectors.sinks._tls import TlsConfig
from pipeline.core.address import Address, Secret
from pipeline.core.config import Config, PositiveDuration, all_left_out, parse_duration
from pipeline.core.machine import Lack, missing_libraries, unreadable_file
from pipeline.core.sinks import SinkContext
from pipeline.core.slugs import alike, alike_rules, slug

if TYPE_CHECKING:
    from connectors.sinks._mqtt.sink import MqttSink

_AT_ONCE = 100
_PORTS = {"mqtt": 1883, "mqtts": 8883}
# Names of rules whose topics or ids are those of something else of the camera.
_TAKEN_RULES = {
    "last": "the ids of the camera's last picture in Home Assistant",
    "camera": "the topic of trouble with the camera",
    "arming": "the topic of arming and disarming",
    "switching": "the topic of rules that are switched",
}


def _topic(value: str) -> str:
    if not value or re.search(r"[+#\x00-\x1f]", value) or value.startswith("$"):
        raise ValueError(
            f"{value[:60]!r} is not a topic; write it like moonwatch/shop, without +, # and a $ in "
            "front"
        )
    if "" in value.split("/"):
        raise ValueError(
            f"{value[:60]!r} has an empty level; write it without a / at its ends or twice"
        )
    return value


Topic = Annotated[str, AfterValidator(_topic), Field(max_length=200)]
"""The beginning of topics."""


class DiscoveryConfig(Config):
    """How Home Assistant finds the entities."""

    prefix: Topic = "homeassistant"
    """The prefix that is set in Home Assistant's MQTT integration."""


def _discovery(value: Any) -> Any:
    return {} if value is True else value


class MqttConfig(BaseSinkConfig):
    """Publish events and states on an MQTT broker; Home Assistant finds them by itself."""

    type: Literal["mqtt"] = "mqtt"
    url: Address
    """`mqtt://broker.local`, or `mqtts://broker.local` with TLS; the port is 1883 or 8883 unless
    given."""
    user: str | None = None
    """Name to log in with; without it nobody logs in."""
    password: Secret | None = None
    """Its password; `password_file` names a file."""
    protocol: Annotated[Literal["5", "3.1.1"], BeforeValidator(str)] = "5"
    """The version of MQTT: `5`, or `3.1.1` for brokers that know no newer one."""
    tls: TlsConfig = Field(default_factory=all_left_out, validate_default=True)
    """For `mqtts`: who is trusted, and our own certificate."""
    base: Topic | None = None
    """What all topics begin with; `moonwatch/` and the site's name unless given."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("10s"))
    """How long the broker may take to accept the connection, and then each message."""
    keep_alive: PositiveDuration = Field(default_factory=lambda: parse_duration("30s"))
    """How often the broker hears from us; after one and a half times as long it says `offline`."""
    max_age: PositiveDuration | None = None
    """Events that are older when their turn comes are skipped, and counted as skipped; states are
    always those of now. Without it every event is sent."""
    retain: bool = False
    """Whether the broker keeps the last picture of each camera. Home Assistant then takes it for
    new after each of its restarts."""
    pictures: bool = True
    """Whether events' pictures are published, as JPEG of at most 256 KB."""
    commands: bool = False
    """Whether the broker's users may arm and disarm, by `ON` and `OFF` on `BASE/armed/set` and
    `BASE/CAMERA/armed/set`, switch rules on and off, on `BASE/CAMERA/RULE/enabled/set`, and give
    them another limit, by a number on `BASE/CAMERA/RULE/more_than/set`. What the broker has
    retained is not obeyed."""
    discovery: Annotated[DiscoveryConfig | Literal[False], BeforeValidator(_discovery)] = Field(
        default_factory=all_left_out, validate_default=True
    )
    """`false` announces nothing to Home Assistant, and takes back what was announced."""

    @field_validator("url")
    @classmethod
    def _is_only_a_place(cls, url: Address) -> Address:
        like = "write it like mqtt://broker.local"
        try:
            parts = urlsplit(url.reveal())
            is_place = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_place = False
        if not is_place or re.search(r"\s", url.reveal()):
            raise ValueError(f"is not mqtt:// or mqtts:// with a host, and perhaps a port; {like}")
        if "@" in parts.netloc:
            raise ValueError("has a login; write `user` and `password` as keys of their own")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"goes on after the host and port; {like}")
        return url

    @field_validator("keep_alive")
    @classmethod
    def _fits(cls, keep_alive: timedelta) -> timedelta:
        if not timedelta(seconds=5) <= keep_alive <= timedelta(hours=1):
            raise ValueError("is not between 5s and 1h")
        return keep_alive

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.password is not None and self.user is None:
            raise ValueError("`password` (or `password_file`) needs a `user`")
        if self.url.scheme == "mqtt" and self.tls != TlsConfig():
            raise ValueError("`tls` is for mqtts; write the url like mqtts://broker.local")
        if self.tls.key is not None and self.tls.certificate is None:
            raise ValueError("`tls.key` needs a `tls.certificate`")
        return self

    @property
    def at_once(self) -> int:
        """How many events are on their way at once, at most."""
        return _AT_ONCE

    @property
    def skipped_after(self) -> timedelta | None:
        """How old an event may be."""
        return self.max_age

    @property
    def port(self) -> int:
        """The broker's port."""
        return self.url.port or _PORTS[self.url.scheme]

    def resource(self) -> str | None:
        """The topics: two would say of each other that they are offline."""
        return f"mqtt {self.url.host}:{self.port} {self.base or ''}"

    def lacks(self) -> Iterator[Lack]:
        """Whether the library is installed here, and the files of `tls` can be read."""
        yield from missing_libraries("the sink `mqtt`", ["paho"], "mqtt")
        for name in ("ca", "certificate", "key"):
            yield from unreadable_file(f"tls.{name}", getattr(self.tls, name))

    def trouble_with_names(
        self, site: str, rules: Mapping[str, Sequence[str]], sequences: Sequence[str]
    ) -> Iterator[str]:
        """Names of cameras (each with those of its rules) and sequences that would share topics."""
        for earlier, name in alike(rules):
            yield (
                f"cameras {earlier!r} and {name!r} would both have the topics "
                f"{self.base_at(site)}/{slug(name)}/...; rename one of them"
            )
        for camera, of_it in rules.items():
            for earlier, name in alike(of_it):
                yield (
                    f"rules {earlier!r} and {name!r} of camera {camera!r} would both have the "
                    f"topics {self.base_at(site)}/{slug(camera)}/{slug(name)}/...; rename one of "
                    "them"
                )
            for name in of_it:
                if slug(name) in _TAKEN_RULES:
                    yield (
                        f"rule {name!r} of camera {camera!r} would have "
                        f"{_TAKEN_RULES[slug(name)]}; rename it"
                    )
        for earlier, name in alike(sequences):
            yield (
                f"sequences {earlier!r} and {name!r} would both have the topic "
                f"{self.base_at(site)}/{slug(name)}/event; rename one of them"
            )
        for camera, rule, other, its in alike_rules(rules):
            if slug(camera) != slug(other):
                yield (
                    f"rule {rule!r} of camera {camera!r} and rule {its!r} of camera {other!r} "
                    "would have the same ids in Home Assistant; rename one of them"
                )

    def base_at(self, site: str) -> str:
        """What all topics begin with."""
        return self.base or f"moonwatch/{slug(site)}"

    def build(self, context: SinkContext) -> "MqttSink":
        """A sink that connects when it is first used; raises SinkError for unusable files."""
        module = importlib.import_module("connectors.sinks._mqtt.sink")
        sink: MqttSink = module.MqttSink(self, context)
        return sink

    def probe(self, context: SinkContext) -> str:
        """Connect and log in. Raises SinkError."""
        sink = self.build(context)
        try:
            return sink.probe()
        finally:
            sink.close()
