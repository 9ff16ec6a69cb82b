"""Rules judge tracks and answers and conclude events; they know no clock, no model and no store."""

from typing import Annotated, get_args

from pydantic import Field

from pipeline.rules.base import Passage, References, RuleBase
from pipeline.rules.condition import Condition, ConditionConfig
from pipeline.rules.context import RuleContext
from pipeline.rules.count import CountConfig, CountRule
from pipeline.rules.dwell import Dwell, DwellConfig
from pipeline.rules.line_crossing import LineCrossing, LineCrossingConfig
from pipeline.rules.measures import ManualCount, Measure, RuleRecord, SummaryTable
from pipeline.rules.occupancy import Occupancy, OccupancyConfig
from pipeline.rules.schedule import Schedule, Window

RuleConfig = Annotated[
    LineCrossingConfig | OccupancyConfig | DwellConfig | CountConfig | ConditionConfig,
    Field(discriminator="type"),
]
"""Every rule an operator can name by its `type`."""

RULES: tuple[type[RuleBase], ...] = get_args(get_args(RuleConfig)[0])
"""The same as classes, for whoever goes through what rules say of themselves."""

__all__ = [
    "RULES",
    "Condition",
    "ConditionConfig",
    "CountConfig",
    "CountRule",
    "Dwell",
    "DwellConfig",
    "LineCrossing",
    "LineCrossingConfig",
    "ManualCount",
    "Measure",
    "Occupancy",
    "OccupancyConfig",
    "Passage",
    "References",
    "RuleBase",
    "RuleConfig",
    "RuleContext",
    "RuleRecord",
    "Schedule",
    "SummaryTable",
    "Window",
]
