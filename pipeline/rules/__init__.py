"""Rules judge tracks and answers and report events; they know nothing of clocks, models and stores.

To add a rule, write one file with its config and class, and add its names below. The rule itself
declares what it measures and how that is summed up and shown.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.core.one_of import one_of

if TYPE_CHECKING:
    from pipeline.rules.absence import AbsenceConfig
    from pipeline.rules.base import RuleBase
    from pipeline.rules.condition import ConditionConfig
    from pipeline.rules.count import CountConfig
    from pipeline.rules.crowding import CrowdingConfig
    from pipeline.rules.dwell import DwellConfig
    from pipeline.rules.heat_map import HeatMapConfig
    from pipeline.rules.left_object import LeftObjectConfig
    from pipeline.rules.line_crossing import LineCrossingConfig
    from pipeline.rules.occupancy import OccupancyConfig
    from pipeline.rules.parking import ParkingConfig
    from pipeline.rules.queue import QueueRuleConfig
    from pipeline.rules.removed_object import RemovedObjectConfig
    from pipeline.rules.speed import SpeedConfig
    from pipeline.rules.tailgating import TailgatingConfig
    from pipeline.rules.wrong_way import WrongWayConfig

    RuleConfig: TypeAlias = (
        LineCrossingConfig
        | OccupancyConfig
        | DwellConfig
        | CountConfig
        | ConditionConfig
        | TailgatingConfig
        | AbsenceConfig
        | QueueRuleConfig
        | CrowdingConfig
        | WrongWayConfig
        | HeatMapConfig
        | ParkingConfig
        | SpeedConfig
        | LeftObjectConfig
        | RemovedObjectConfig
    )
    """Every rule that a file can name by its `type`."""
else:
    RuleConfig = one_of(
        __name__,
        line_crossing="LineCrossingConfig",
        occupancy="OccupancyConfig",
        dwell="DwellConfig",
        count="CountConfig",
        condition="ConditionConfig",
        tailgating="TailgatingConfig",
        absence="AbsenceConfig",
        queue="QueueRuleConfig",
        crowding="CrowdingConfig",
        wrong_way="WrongWayConfig",
        heat_map="HeatMapConfig",
        parking="ParkingConfig",
        speed="SpeedConfig",
        left_object="LeftObjectConfig",
        removed_object="RemovedObjectConfig",
    )

__all__ = ["RuleConfig", "all_rules"]


def all_rules() -> tuple[type["RuleBase"], ...]:
    """All rule classes, imported, for code that loops over what rules declare."""
    union: Any = RuleConfig
    return tuple(union.members())
