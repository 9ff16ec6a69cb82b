"""What requests cost, to the last billionth."""

import random
from decimal import Decimal

import pytest
from pydantic import ValidationError

from pipeline.server.prices import PricesConfig, as_money


def prices(**written: object) -> PricesConfig:
    """As a file has them."""
    return PricesConfig.model_validate(written)


def test_pictures_cost_exactly_what_is_written() -> None:
    """A thousand pictures at 0.626 are 0.626, and ten million are 6260, added up one by one."""
    config = prices(per_1000_pictures=0.626)
    assert as_money(config.cost(1, 730, 742, 5)) == "0.000626"
    assert sum(config.cost(1, 730, 742, 5) for _ in range(1000)) == 626_000_000
    assert as_money(10_000_000 * config.cost(1, 0, 0, 0)) == "6260.00"


def test_tokens_of_a_picture_are_paid_once() -> None:
    """By the picture where that has a price, and as tokens where it has none."""
    tokens = {"per_million_input_tokens": 0.3, "per_million_output_tokens": 1}
    assert prices(**tokens).cost(1, 730, 742, 5) == 742 * 300 + 5 * 1000
    both = prices(per_1000_pictures=1, **tokens)
    assert both.cost(1, 730, 742, 5) == 1_000_000 + 12 * 300 + 5 * 1000


def test_sums_agree_with_fractions_whatever_is_asked() -> None:
    """A thousand random requests at random prices: no rounding anywhere."""
    drawn = random.Random(1)
    for _ in range(1000):
        picture = Decimal(drawn.randrange(10**9)).scaleb(-6)
        token_in, token_out = (Decimal(drawn.randrange(10**6)).scaleb(-3) for _ in range(2))
        config = prices(
            per_1000_pictures=str(picture),
            per_million_input_tokens=str(token_in),
            per_million_output_tokens=str(token_out),
        )
        pictures, text, answer = (drawn.randrange(2000) for _ in range(3))
        exact = picture * pictures / 1000 + (token_in * text + token_out * answer) / 10**6
        assert Decimal(config.cost(pictures, 730, 730 + text, answer)) == exact * 10**9


def test_without_prices_nothing_costs_anything() -> None:
    """The default."""
    assert prices().cost(1, 730, 742, 5) == 0


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({"per_1000_pictures": -1}, "not a price from 0"),
        ({"per_1000_pictures": "NaN"}, "not a price from 0"),
        ({"per_1000_pictures": 1e9}, "not a price from 0"),
        ({"per_1000_pictures": "cheap"}, "is not a price"),
        ({"per_1000_pictures": True}, "is not a price"),
        ({"per_1000_pictures": 0.1234567}, "more than 6 digits"),
        ({"per_million_input_tokens": 0.0001}, "more than 3 digits"),
        ({"currency": "dollars"}, "pattern"),
        ({"per_picture": 1}, "not permitted"),
    ],
)
def test_prices_that_are_refused(written: dict[str, object], sentence: str) -> None:
    """Each with why."""
    with pytest.raises(ValidationError, match=sentence):
        prices(**written)


@pytest.mark.parametrize(
    ("cost", "said"),
    [(0, "0.00"), (1, "0.000000001"), (626_000, "0.000626"), (1_500_000_000, "1.50")],
)
def test_money_is_said_in_full(cost: int, said: str) -> None:
    """Two digits at least, and no more than there are."""
    assert as_money(cost) == said
