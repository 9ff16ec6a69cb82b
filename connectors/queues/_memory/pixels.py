"""How many bytes of pixels a queue in memory holds."""

from pipeline.core.jobs import Job


class HeldPixels:
    """Counts the bytes of the frames in the queue; jobs that share a frame count it once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._jobs_by_frame: dict[int, int] = {}

    @property
    def is_over(self) -> bool:
        """Whether more is held than the limit."""
        return self._bytes > self._limit

    def has_room(self, job: Job) -> bool:
        """Whether the job's frame fits below the limit, or is held already."""
        held = id(job.frame.pixels) in self._jobs_by_frame
        return held or self._bytes + job.frame.pixels.nbytes <= self._limit

    def hold(self, job: Job) -> None:
        """Count the job's frame."""
        key = id(job.frame.pixels)
        if key not in self._jobs_by_frame:
            self._bytes += job.frame.pixels.nbytes
        self._jobs_by_frame[key] = self._jobs_by_frame.get(key, 0) + 1

    def release(self, job: Job) -> None:
        """Count the job's frame no longer, once no other job shares it."""
        key = id(job.frame.pixels)
        self._jobs_by_frame[key] -= 1
        if self._jobs_by_frame[key] == 0:
            del self._jobs_by_frame[key]
            self._bytes -= job.frame.pixels.nbytes
