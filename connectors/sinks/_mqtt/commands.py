"""What a broker's users may command, by the topics on which they do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors.sinks._mqtt.topics import OFF, ON, Topics, switched_by
from pipeline.core.sinks import Arms, SinkContext
from pipeline.core.site_state import RuleLayout, SiteLayout
from pipeline.core.switching import ENABLED, MORE_THAN, FileLimit, SwitchesRules, SwitchKey

_LONGEST_NUMBER = 40


@dataclass(frozen=True, slots=True)
class ArmCommand:
    """Arms or disarms a camera, or all of them with None."""

    arm: Arms
    camera: str | None
    state: str
    """The topic that answers."""

    def obey(self, payload: bytes, by: str) -> str | None:
        """Do it; what is wrong with the command, if anything. Raises StoreError."""
        is_on = _switched(payload)
        if is_on is None:
            return "is neither ON nor OFF"
        self.arm(self.camera, is_on, by)
        return None


@dataclass(frozen=True, slots=True)
class RuleCommand:
    """Switches a rule, or changes its limit."""

    switch: SwitchesRules
    camera: str
    rule: str
    key: SwitchKey
    layout: RuleLayout
    state: str
    """The topic that answers."""

    def obey(self, payload: bytes, by: str) -> str | None:
        """Do it; what is wrong with the command, if anything. Raises StoreError."""
        if self.key == ENABLED:
            is_on = _switched(payload)
            if is_on is None:
                return "is neither ON nor OFF"
            self.switch(self.camera, self.rule, ENABLED, is_on, by)
            return None
        number, limits = _whole(payload), self.layout.limits
        if limits is None or number is None or not limits.least <= number <= limits.most:
            ends = "" if limits is None else f" from {limits.least} to {limits.most}"
            return f"is no whole number{ends}"
        file = FileLimit(self.layout.more_than)
        self.switch(self.camera, self.rule, MORE_THAN, number, by, instead_of=file)
        return None


Command = ArmCommand | RuleCommand


def commands_of(topics: Topics, layout: SiteLayout, context: SinkContext) -> dict[str, Command]:
    """Every command that is obeyed, by its topic."""
    return dict(_all(topics, layout, context))


def subscriptions(topics: Topics, commands: Mapping[str, Command]) -> list[str]:
    """What to subscribe to: those of rules together, as there are many."""
    found = [topic for topic, one in commands.items() if isinstance(one, ArmCommand)]
    keys = [one.key for one in commands.values() if isinstance(one, RuleCommand)]
    return [*found, *(topics.rules_set(key) for key in dict.fromkeys(keys))]


def _all(topics: Topics, layout: SiteLayout, context: SinkContext) -> Iterator[tuple[str, Command]]:
    if context.arm is not None:
        for camera in (None, *layout.cameras):
            state = topics.armed_state(camera)
            yield topics.armed_set(camera), ArmCommand(context.arm, camera, state)
    if context.switch is None:
        return
    for name, one in layout.cameras.items():
        for rule, of_it in one.rules.items():
            for key in switched_by(of_it):
                state = topics.rule_state(name, rule, key)
                command = RuleCommand(context.switch, name, rule, key, of_it, state)
                yield topics.rule_set(name, rule, key), command


def _switched(payload: bytes) -> bool | None:
    return {ON: True, OFF: False}.get(payload.strip().upper())


def _whole(payload: bytes) -> int | None:
    """A whole number, which Home Assistant may write as `7.0`."""
    if len(payload) > _LONGEST_NUMBER or b"_" in payload:
        return None
    try:
        number = float(payload.strip())
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
