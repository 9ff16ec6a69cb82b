"""What every source promises, whatever it reads from."""

import abc
import threading
from collections.abc import Iterator
from itertools import islice, pairwise

import pytest

from pipeline.core.frames import Picture
from pipeline.core.sources import Need, Source
from pipeline.testing import patience, wait_until


class SourceContract(abc.ABC):
    """Subclass it, and give a `source` that has at least five pictures; the suite does the rest."""

    is_live: bool

    @pytest.fixture
    @abc.abstractmethod
    def source(self) -> Source | Iterator[Source]:
        """A source that can be opened, and opened again."""

    @pytest.fixture
    def opened(self, source: Source) -> Iterator[Source]:
        """The source, opened for every picture."""
        source.open(Need())
        yield source
        source.close()

    def test_says_whether_it_is_live(self, source: Source) -> None:
        """Live sources may drop pictures, others must not."""
        assert source.live is self.is_live

    def test_times_rise(self, opened: Source) -> None:
        """No two pictures share a time, and none goes back."""
        times = [picture.captured_at for picture in islice(opened.pictures(), 5)]
        assert len(times) == 5
        assert all(earlier < later for earlier, later in pairwise(times))

    def test_pixels_have_the_size_that_is_said(self, opened: Source) -> None:
        """RGB comes in the picture's size or the one asked for, and may be written to."""
        picture = next(iter(opened.pictures()))
        width, height = picture.size_wh
        pixels = picture.rgb()
        assert pixels.shape == (height, width, 3)
        assert pixels.dtype == "uint8"
        pixels[0, 0] = 255
        assert not (picture.rgb()[0, 0] == 255).all()
        assert picture.rgb((20, 12)).shape == (12, 20, 3)

    def test_grey_has_the_size_that_is_asked(self, opened: Source) -> None:
        """The small luminance picture is exactly as large as asked."""
        picture = next(iter(opened.pictures()))
        assert picture.grey((16, 9)).shape == (9, 16)

    def test_pictures_can_be_used_later(self, opened: Source) -> None:
        """A picture stays what it was when the next ones are read."""
        pictures = list(islice(opened.pictures(), 4))
        before = [picture.rgb() for picture in pictures]
        assert all((a == p.rgb()).all() for a, p in zip(before, pictures, strict=True))

    def test_closing_twice_is_safe(self, opened: Source) -> None:
        """So is closing what was never read."""
        opened.close()
        opened.close()
        assert list(opened.pictures()) == []

    def test_can_be_opened_again(self, source: Source) -> None:
        """It begins anew; a live one under a new name, a recording under the same."""
        runs = []
        for _ in range(2):
            source.open(Need())
            assert next(iter(source.pictures())).size_wh[0] > 0
            runs.append(source.run)
            source.close()
        assert runs[0]
        assert (runs[0] != runs[1]) is self.is_live

    def test_nothing_is_lost_of_a_whole_stream(self, opened: Source) -> None:
        """Counters name only what was lost."""
        list(islice(opened.pictures(), 5))
        assert opened.counters().get("decode error", 0) == 0

    def test_another_thread_can_end_the_reading(self, opened: Source) -> None:
        """`close` from outside ends `pictures` without an error."""
        seen: list[Picture] = []
        failed: list[BaseException] = []

        def read() -> None:
            try:
                seen.extend(opened.pictures())
            except BaseException as error:  # noqa: BLE001  the test fails on any
                failed.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        opened.close()
        thread.join(patience(10))
        wait_until(lambda: not thread.is_alive())
        assert failed == []
