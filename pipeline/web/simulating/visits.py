"""How long visits to a zone lasted, so that the limit of a rule can be chosen among them."""

import threading
from typing import Final

from pydantic import BaseModel

from pipeline.core.errors import ConfigError
from pipeline.core.store import Span
from pipeline.web.editing.editor import CameraFile, edited
from pipeline.web.editing.parts import EditedParts
from pipeline.web.problems import WebError
from pipeline.web.simulating.what_if import simulation_of
from pipeline.web.state import WebState

_DWELL: Final = "dwell"
_ALL: Final = "0s"
_MOST = 5000


class VisitHistogram(BaseModel):
    """The visits of some time."""

    rule: str
    seconds: list[float]
    """How long each lasted, the longest first; a limit counts those that are not shorter."""
    limit_key: str
    """The field of the rule that is the limit."""
    cut_short: str | None


def simulated_visits(
    state: WebState,
    now: CameraFile,
    wanted: EditedParts,
    rule: str,
    span: Span,
    stop: threading.Event,
) -> VisitHistogram:
    """Judge a rule anew with hardly any limit; raises WebError where it has none of this kind."""
    rules = dict(wanted.values().get("rules") or now.parts["rules"] or {})  # type: ignore[arg-type]
    settings = rules.get(rule)
    if not isinstance(settings, dict) or settings.get("type") != _DWELL:
        raise WebError(422, f"rule {rule!r} is no `dwell` rule, whose visits could be measured")
    # The limit is to be chosen among all visits, so nothing else may leave one out.
    measured = {
        name: value
        for name, value in settings.items()
        if name not in ("schedule", "when", "cooldown")
    }
    rules[rule] = {**measured, "longer_than": _ALL}
    wanted = wanted.model_copy(update={"rules": rules})
    result = edited(state.file, now, wanted)
    if result.loaded is None:
        raise ConfigError(list(result.problems))
    simulation = simulation_of(state, result.loaded.deployment, now.camera, (rule,), span, stop)
    longest: dict[str, float] = {}
    for hour in simulation.hours():
        for one in hour.rules:
            for event in () if one.here is None or one.rule != rule else one.here.events:
                seconds = event.data.get("seconds")
                if isinstance(seconds, int | float):
                    longest[event.id] = max(longest.get(event.id, 0.0), float(seconds))
    found = sorted(longest.values(), reverse=True)[:_MOST]
    return VisitHistogram(
        rule=rule, seconds=found, limit_key="longer_than", cut_short=simulation.cut_short
    )
