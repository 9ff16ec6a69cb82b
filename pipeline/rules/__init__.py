"""Rules judge tracks and answers and conclude events; they know no clock, no model and no store."""

from typing import Annotated

from pydantic import Field

from pipeline.rules.base import References, RuleBase
from pipeline.rules.condition import Condition, ConditionConfig
from pipeline.rules.context import RuleContext
from pipeline.rules.count import CountConfig, CountRule
from pipeline.rules.dwell import Dwell, DwellConfig
from pipeline.rules.line_crossing import LineCrossing, LineCrossingConfig
from pipeline.rules.occupancy import Occupancy, OccupancyConfig
from pipeline.rules.schedule import Schedule, Window

RuleConfig = Annotated[
    LineCrossingConfig | OccupancyConfig | DwellConfig | CountConfig | ConditionConfig,
    Field(discriminator="type"),
]
"""Every rule an operator can name by its `type`."""

__all__ = [
    "Condition",
    "ConditionConfig",
    "CountConfig",
    "CountRule",
    "Dwell",
    "DwellConfig",
    "LineCrossing",
    "LineCrossingConfig",
    "Occupancy",
    "OccupancyConfig",
    "References",
    "RuleBase",
    "RuleConfig",
    "RuleContext",
    "Schedule",
    "Window",
]
