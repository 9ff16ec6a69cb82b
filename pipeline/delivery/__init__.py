"""Events out of the store and onto one lane per sink; knows no sink, database or rule."""

from pipeline.delivery.delivery import Delivery
from pipeline.delivery.lane import LaneStatus, SinkLane
from pipeline.delivery.resending import Resent, resend
from pipeline.delivery.route import Route

__all__ = ["Delivery", "LaneStatus", "Resent", "Route", "SinkLane", "resend"]
