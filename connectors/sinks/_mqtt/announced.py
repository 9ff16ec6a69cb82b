"""What is remembered of a device that was announced, so that it can be taken back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.sinks._mqtt.home_assistant import HomeDevice


@dataclass(frozen=True, slots=True)
class Announced:
    """Where a device was announced, its components by kind, and the states that a broker keeps."""

    topic: str = ""
    """Empty where Home Assistant was not told."""
    components: Mapping[str, str] = field(default_factory=dict)
    retained: tuple[str, ...] = ()

    @classmethod
    def of(cls, device: HomeDevice, *, is_told: bool) -> "Announced":
        """What is to be remembered of a device."""
        if not is_told:
            return cls(retained=tuple(sorted(device.retained)))
        return cls(device.topic, device.platforms, tuple(sorted(device.retained)))

    def joined(self, later: "Announced") -> "Announced":
        """All that may be there until the later one is all that is."""
        return Announced(
            # The old one is cleared first, where it is another.
            self.topic or later.topic,
            {**later.components, **self.components},
            tuple(sorted({*self.retained, *later.retained})),
        )

    def text(self) -> str:
        """As a note."""
        said = {
            "topic": self.topic,
            "components": dict(sorted(self.components.items())),
            "retained": list(self.retained),
        }
        return json.dumps(said, separators=(",", ":"))


def read_note(text: str) -> Announced:
    """What was noted; nothing where a note cannot be read."""
    try:
        said = json.loads(text)
        components = {str(name): str(kind) for name, kind in said["components"].items()}
        return Announced(str(said["topic"]), components, tuple(map(str, said["retained"])))
    except (ValueError, LookupError, TypeError, AttributeError):
        return Announced()


def gone_from(before: Announced, device: HomeDevice) -> dict[str, str]:
    """The components that a device no longer has, or has as another kind, with their old kinds."""
    if before.topic != device.topic:
        return {}
    there = device.platforms
    return {name: kind for name, kind in before.components.items() if there.get(name) != kind}
