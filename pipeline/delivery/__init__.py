"""Delivers events from the store, one lane per sink; independent of sinks, databases and rules."""

from pipeline.delivery.delivery import Delivery
from pipeline.delivery.lane import LaneStatus, SinkLane
from pipeline.delivery.resending import Resent, resend
from pipeline.delivery.route import Route

__all__ = ["Delivery", "LaneStatus", "Resent", "Route", "SinkLane", "resend"]
