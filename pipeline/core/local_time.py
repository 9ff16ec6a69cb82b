"""Times as people at a site write them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.core.ranges import nearest_moment


def local_time(at: float, timezone: str) -> str:
    """UTC seconds as ISO 8601 in the site's local time, to the second, with its offset."""
    return datetime.fromtimestamp(nearest_moment(at), ZoneInfo(timezone)).isoformat(
        timespec="seconds"
    )
