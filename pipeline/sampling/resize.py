"""How large a frame is: no larger than an engine can use, never larger than the picture."""


def fitted(size_wh: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """Width and height in pixels, the longer at most `max_side`, with the same aspect."""
    width, height = size_wh
    longest = max(width, height)
    if max_side is None or longest <= max_side:
        return size_wh
    scale = max_side / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def smallest_limit(*limits: int | None) -> int | None:
    """The smallest of some limits, where None means no limit."""
    given = [limit for limit in limits if limit is not None]
    return min(given, default=None)
