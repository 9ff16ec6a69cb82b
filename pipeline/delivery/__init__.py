"""Events out of the store and onto one lane per sink; knows no sink, database or rule."""

from pipeline.delivery.delivery import Delivery
from pipeline.delivery.lane import Lane, LaneStatus
from pipeline.delivery.resending import Resent, resend
from pipeline.delivery.route import Route

__all__ = ["Delivery", "Lane", "LaneStatus", "Resent", "Route", "resend"]
