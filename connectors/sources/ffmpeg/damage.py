"""Tells which packets of a live stream can be believed, after something of it was lost.

What was lost is not only missing: every picture up to the next key frame is made from it. FFmpeg
decodes them all the same, with whatever it has, and marks only some of them. So after a loss
nothing is decoded until a key frame has arrived whole.
"""

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

PACKET_LOSS = "packet loss"
"""The counter of pictures that were lost on the way, or are made from such."""
# So many steps between pictures say how far they usually are apart.
_STEPS = 50
_FEWEST_STEPS = 5


class Trust:
    """Looks at each packet of a stream before it is decoded."""

    def __init__(
        self, lost: Counter[str], wait_s: float, now: float, missed_so_far: int = 0
    ) -> None:
        """Without a key frame for `wait_s`, what comes is taken as it is.

        What was missed while the stream was opened may belong to its first key frame.
        """
        self._is_key_doubtful = self.is_lossy = missed_so_far > 0
        """Whether anything was missed so far."""
        self._lost = lost
        self._wait_s = wait_s
        self._since = now
        self._missed_before = 0
        self._last: int | None = None
        self._steps: deque[int] = deque(maxlen=_STEPS)
        self._shortest = 0
        self.is_sound = False
        """Whether the last packet, and all that it is made from, arrived whole."""
        self.has_begun = False
        """Whether there ever was a key frame, or none was waited for any longer."""
        self.took_as_it_is = False
        """Whether there was none in time."""

    def look(self, packet: "Packet[VideoStream]", missed: int, now: float) -> bool:
        """Whether to decode this packet, `missed` RTP packets having been lost as it was read.

        A packet is read to the first bytes of the next one. So what was missed may belong to
        either, and both are in doubt.
        """
        near = missed + self._missed_before
        self._missed_before = missed
        stamp = packet.pts if packet.pts is not None else packet.dts
        # What is left of a picture may come as two packets.
        is_next = stamp is None or stamp != self._last
        self._see_step(stamp, near)
        if near:
            self.is_lossy = True
            self.doubt(now)
        elif not self.is_sound:
            is_late = now - self._since >= self._wait_s
            if is_late or (packet.is_keyframe and not self._is_key_doubtful):
                self.took_as_it_is = not packet.is_keyframe
                self.is_sound = self.has_begun = True
        if packet.is_keyframe:
            self._is_key_doubtful = False
        if is_next and not self.is_sound and (self.has_begun or self.is_lossy):
            self._lost[PACKET_LOSS] += 1
        return self.is_sound

    def doubt(self, now: float) -> None:
        """Something of the stream was lost or damaged."""
        if self.is_sound:
            self.is_sound, self._since = False, now

    def waited_s(self, now: float) -> float:
        """How long a key frame has been waited for; 0 while none is needed."""
        return 0.0 if self.is_sound else now - self._since

    def _see_step(self, stamp: int | None, near: int) -> None:
        """Count the pictures of which nothing arrived, by the gap that they leave in time."""
        if stamp is None:
            return
        before, self._last = self._last, stamp
        if before is None:
            return
        step = stamp - before
        if near == 0:
            self._steps.append(step)
        if step > 0:
            self._shortest = min(self._shortest or step, step)
        if near and (self.has_begun or self.is_lossy):
            clean = len(self._steps)
            usual = sum(self._steps) / clean if clean >= _FEWEST_STEPS else self._shortest
            missing = round(step / usual) - 1 if usual > 0 else 0
            self._lost[PACKET_LOSS] += max(0, min(missing, near))
