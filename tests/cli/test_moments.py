"""`--since` and `--until`: what people write, on the site's clock."""

import pytest

from pipeline.cli.moments import moment, span_of
from pipeline.core.errors import ConfigError
from pipeline.core.store import EVER, Span

NOW = 1_795_759_200.0
"""2026-11-27 06:00 UTC, which is 07:00 in Berlin."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-26", 1_795_647_600),  # midnight in Berlin
        ("2026-11-26T08:00", 1_795_676_400),
        ("2026-11-26T08:00Z", 1_795_680_000),  # an offset that is written wins
        ("yesterday", 1_795_647_600),
        ("today", 1_795_734_000),
        ("2h", NOW - 7200),
        ("90m", NOW - 5400),
        ("2026-10-26", 1_792_969_200),  # the day after the clocks went back
    ],
)
def test_days_are_the_days_of_the_site(text: str, expected: float) -> None:
    """Days and times without an offset are those of the site's wall clock."""
    assert moment(text, NOW, "Europe/Berlin") == expected


def test_an_open_end_stays_open() -> None:
    """What is not given does not limit the period."""
    assert span_of(None, None, NOW, "UTC") == EVER
    assert span_of("2h", None, NOW, "UTC") == Span(NOW - 7200, None)


@pytest.mark.parametrize(
    ("since", "until", "sentence"),
    [
        ("soon", None, "--since: 'soon' is not a moment; write 2026-11-26"),
        (None, "3500-01-01", "--until: '3500-01-01' is not from 1900 to 2200"),
        ("today", "yesterday", "--until: 'yesterday' is not after --since 'today'"),
    ],
)
def test_what_is_no_period_is_refused(since: str | None, until: str | None, sentence: str) -> None:
    """A sentence names the option, what was written and how to write it."""
    with pytest.raises(ConfigError) as refused:
        span_of(since, until, NOW, "Europe/Berlin")
    assert sentence in str(refused.value.problems[0])
