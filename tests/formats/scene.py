"""A made-up hall that every release judges alike: three people, a door, a stack of boxes.

Imports nothing of ours, so that an old release can be shown it as well.
"""

START = 1_780_315_200.0
"""2026-06-01 12:00:00 UTC."""
EVERY_S = 0.5
BREAK = 151
"""So many frames were judged when the golden store was left: in mid-minute and mid-visit."""
FRAMES = 330
RUN = "2026-06-01T12:00:00Z golden"

Box = tuple[float, float, float, float]


def captured_at(frame: int) -> float:
    """UTC seconds."""
    return START + frame * EVERY_S


def people(frame: int) -> list[Box]:
    """Boxes of who is there: walkers come from the top, stop at the till, and leave below."""
    boxes: list[Box] = []
    for number in range(3):
        at = frame - 37 * number
        while at > 110:
            at -= 110
        if at < 0:
            continue
        if at < 30:
            foot = 0.35 + 0.01 * at  # down to .65, over the line at .60
        elif at < 60:
            foot = 0.65  # stands
        elif at < 90:
            foot = 0.65 - 0.01 * (at - 60)  # back up again
        else:
            continue
        x = 0.40 + 0.12 * number
        boxes.append((x - 0.04, foot - 0.25, x + 0.04, foot))
    return boxes


def door_is_open(frame: int) -> bool:
    """Open for ten seconds of every forty."""
    return frame % 80 < 20


def stack(frame: int) -> int:
    """Boxes on the stack."""
    return 2 + (frame // 25) % 5
