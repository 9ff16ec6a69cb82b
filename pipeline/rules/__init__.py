"""Rules judge tracks and answers and conclude events; they know no clock, no model and no store.

To add a rule: one file with its config and its class, and its names below. What it measures, how
that is summed up and shown, it says itself.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.core.one_of import one_of

if TYPE_CHECKING:
    from pipeline.rules.base import RuleBase
    from pipeline.rules.condition import ConditionConfig
    from pipeline.rules.count import CountConfig
    from pipeline.rules.dwell import DwellConfig
    from pipeline.rules.line_crossing import LineCrossingConfig
    from pipeline.rules.occupancy import OccupancyConfig

    RuleConfig: TypeAlias = (
        LineCrossingConfig | OccupancyConfig | DwellConfig | CountConfig | ConditionConfig
    )
    """Every rule an operator can name by its `type`."""
else:
    RuleConfig = one_of(
        __name__,
        line_crossing="LineCrossingConfig",
        occupancy="OccupancyConfig",
        dwell="DwellConfig",
        count="CountConfig",
        condition="ConditionConfig",
    )

__all__ = ["RuleConfig", "all_rules"]


def all_rules() -> tuple[type["RuleBase"], ...]:
    """The same as classes, all imported, for whoever goes through what rules say of themselves."""
    union: Any = RuleConfig
    return tuple(union.members())
