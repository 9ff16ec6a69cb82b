"""What requests cost, exactly: sums of whole billionths, never of floats."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from pipeline.core.config import Config, PositiveDuration, parse_duration

BILLION: Final = 10**9
_HIGHEST = Decimal(100_000)
# So that one picture, or one token, costs whole billionths.
_PICTURE_PLACES, _TOKEN_PLACES = 6, 3


def _price(places: int) -> Callable[[Any], Decimal]:
    def check(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise ValueError("is not a price; write a number, such as 0.626")  # noqa: TRY004
        try:
            # The text of a float is what was written in the file.
            price = Decimal(str(value).strip())
        except InvalidOperation as error:
            raise ValueError("is not a price; write a number, such as 0.626") from error
        if not price.is_finite() or not 0 <= price <= _HIGHEST:
            raise ValueError(f"{value} is not a price from 0 to {_HIGHEST}")
        if price != round(price, places):
            raise ValueError(
                f"{value} has more than {places} digits after the point, and would have to be "
                "rounded for each request; write fewer"
            )
        return price

    return check


_NUMBER = WithJsonSchema({"type": "number", "minimum": 0, "maximum": int(_HIGHEST)})
PicturePrice = Annotated[Decimal, BeforeValidator(_price(_PICTURE_PLACES)), _NUMBER]
"""A price for 1000 pictures."""
TokenPrice = Annotated[Decimal, BeforeValidator(_price(_TOKEN_PLACES)), _NUMBER]
"""A price for a million tokens."""


class PricesConfig(Config):
    """What callers are charged. Prices are those of the moment a request ends: what was charged
    before does not change when they do.
    """

    per_1000_pictures: PicturePrice | None = None
    """For every 1000 pictures. Without it, tokens of pictures are paid like those of texts."""
    per_million_input_tokens: TokenPrice | None = None
    """For every million tokens of prompts."""
    per_million_output_tokens: TokenPrice | None = None
    """For every million tokens of answers, reasoning included."""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """Three capital letters, as in ISO 4217."""

    @property
    def is_paid(self) -> bool:
        """Whether anything has a price."""
        prices = (
            self.per_1000_pictures,
            self.per_million_input_tokens,
            self.per_million_output_tokens,
        )
        return any(price is not None for price in prices)

    def cost(
        self, pictures: int, image_tokens: int, prompt_tokens: int, completion_tokens: int
    ) -> int:
        """Billionths of the currency; `prompt_tokens` include those of the picture."""
        cost = Decimal(0)
        paid_tokens = prompt_tokens
        if self.per_1000_pictures is not None:
            cost += self.per_1000_pictures * BILLION / 1000 * pictures
            paid_tokens = max(0, prompt_tokens - image_tokens)
        million = BILLION // 1_000_000
        cost += (self.per_million_input_tokens or 0) * million * paid_tokens
        cost += (self.per_million_output_tokens or 0) * million * completion_tokens
        return int(cost)


class LedgerConfig(Config):
    """The list of all requests, of which the totals of each day are made."""

    keep: PositiveDuration | None = Field(default_factory=lambda: parse_duration("400d"))
    """How long each request is kept; the totals of each day are kept without end."""


def as_money(cost: int) -> str:
    """Billionths as an exact amount, without needless zeros but with two digits at least."""
    whole, rest = divmod(abs(cost), BILLION)
    digits = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if cost < 0 else ''}{whole}.{digits}"
