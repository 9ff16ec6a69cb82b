"""What every place promises where the costs of engines are counted."""

import threading

import pytest

from pipeline.core.spending import Spending, allowance

# 2026-11-27, 10:20:30 in Berlin.
NOW = 1_795_771_230.0
ZONE = "Europe/Berlin"
HOUR = allowance("hour", 3, NOW, ZONE)
DAY = allowance("day", 5, NOW, ZONE)
NEXT_HOUR = allowance("hour", 3, NOW + 3600.0, ZONE)


class SpendingContract:
    """Nothing is counted twice, and nothing beyond what is allowed."""

    def opened(self) -> Spending:
        """The place, as another process sees it."""
        raise NotImplementedError

    @pytest.fixture
    def spending(self) -> Spending:
        """A place that is empty at first."""
        return self.opened()

    def test_it_is_spent_until_nothing_is_left(self, spending: Spending) -> None:
        """The hour first; what it refuses is not taken from the day."""
        for _ in range(3):
            assert spending.spend("vlm", 1, [HOUR, DAY]) is None
        assert spending.spend("vlm", 1, [HOUR, DAY]) == HOUR
        assert [one.used for one in spending.spent("vlm", [HOUR, DAY])] == [3, 3]
        assert [one.left for one in spending.spent("vlm", [HOUR, DAY])] == [0, 2]

    def test_an_hour_begins_anew_and_the_day_goes_on(self, spending: Spending) -> None:
        """Of several that have too little, the one that lasts longest is named."""
        assert spending.spend("vlm", 3, [HOUR, DAY]) is None
        assert spending.spend("vlm", 2, [NEXT_HOUR, DAY]) is None
        assert spending.spend("vlm", 1, [NEXT_HOUR, DAY]) == DAY
        assert spending.spend("vlm", 2, [NEXT_HOUR, DAY]) == DAY
        assert [one.used for one in spending.spent("vlm", [NEXT_HOUR, DAY])] == [2, 5]

    def test_engines_have_budgets_of_their_own(self, spending: Spending) -> None:
        """Whatever their names are."""
        assert spending.spend("vlm", 3, [HOUR]) is None
        assert spending.spend("vlm:hour", 3, [HOUR]) is None
        assert spending.spent("other", [HOUR])[0].used == 0

    def test_a_limit_that_was_lowered_is_spent(self, spending: Spending) -> None:
        """What was spent under the higher one counts; nothing is left, and never less."""
        assert spending.spend("vlm", 3, [HOUR]) is None
        lower = allowance("hour", 2, NOW, ZONE)
        assert spending.spend("vlm", 1, [lower]) == lower
        assert spending.spent("vlm", [lower])[0].left == 0

    def test_no_limit_is_nothing_to_count(self, spending: Spending) -> None:
        """And nothing to see."""
        assert spending.spend("vlm", 1, []) is None
        assert list(spending.spent("vlm", [])) == []

    def test_many_at_once_get_no_more_than_there_is(self, spending: Spending) -> None:
        """However they come together."""
        plenty = allowance("day", 25, NOW, ZONE)
        granted: list[bool] = []

        def spend() -> None:
            for _ in range(10):
                granted.append(spending.spend("vlm", 1, [plenty]) is None)

        threads = [threading.Thread(target=spend) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert granted.count(True) == 25
        assert spending.spent("vlm", [plenty])[0].used == 25


class SharedSpendingContract(SpendingContract):
    """The same where it outlives a process."""

    def test_another_process_goes_on_where_one_has_ended(self, spending: Spending) -> None:
        """A restart resets nothing."""
        assert spending.spend("vlm", 3, [HOUR]) is None
        other = self.opened()
        assert other.spent("vlm", [HOUR])[0].used == 3
        assert other.spend("vlm", 1, [HOUR]) == HOUR
