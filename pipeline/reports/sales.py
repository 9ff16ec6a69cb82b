"""What a till sold, read from a CSV file, to be set against who came in."""

import csv
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pipeline.core.errors import MoonwatchError
from pipeline.core.ranges import is_moment

_COLUMNS = ("time", "count", "amount")
_TIME, _COUNT, _AMOUNT = _COLUMNS
_MOST_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Sale:
    """Transactions of one moment."""

    at: float
    """UTC seconds."""
    count: float
    amount: float | None


@dataclass(frozen=True, slots=True)
class Sales:
    """All of them in order of time."""

    rows: Sequence[Sale]
    unused: tuple[str, ...]
    """Columns of the file that mean nothing here."""

    def between(self, since: float, until: float) -> Sequence[Sale]:
        """Those of a time."""
        times = [one.at for one in self.rows]
        return self.rows[bisect_left(times, since) : bisect_left(times, until)]


def read_sales(path: Path, timezone: str) -> Sales:
    """Read a file with the columns time, count and amount; raises MoonwatchError.

    Times without an offset are of the site's clock. Without `count` a row is one transaction.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise MoonwatchError(f"the sales in {path} are larger than 200 MB; name a shorter file")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MoonwatchError(
            f"the sales in {path} cannot be read: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError:
        raise MoonwatchError(f"the sales in {path} are not UTF-8; save them as CSV UTF-8") from None
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(text.splitlines(), delimiter=separator)
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    if _TIME not in names:
        found = ", ".join(repr(name) for name in names if name) or "none"
        raise MoonwatchError(
            f"the sales in {path} have no column `time` (found: {found}); the first line names the "
            "columns time, count and amount"
        )
    rows: list[Sale] = []
    try:
        for row in reader:
            if any((value or "").strip() for value in row.values() if isinstance(value, str)):
                cells = {name: (row.get(own or "") or "").strip() for name, own in names.items()}
                rows.append(_sale(cells, ZoneInfo(timezone), comma=separator != ","))
    except (ValueError, csv.Error) as error:
        raise MoonwatchError(f"the sales in {path}, line {reader.line_num}: {error}") from None
    rows.sort(key=lambda one: one.at)
    unused = tuple(own or "" for name, own in names.items() if name not in _COLUMNS)
    return Sales(rows, unused)


def _sale(cells: dict[str, str], zone: ZoneInfo, *, comma: bool) -> Sale:
    try:
        moment = datetime.fromisoformat(cells[_TIME])
    except ValueError:
        said = "is not a time; write 2026-11-26 14:05, in the site's time"
        raise ValueError(f"{cells[_TIME][:40]!r} {said}") from None
    at = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    if not is_moment(at):
        raise ValueError(f"{cells[_TIME][:40]!r} is not a time between 1900 and 2200")
    count = _number(cells.get(_COUNT, ""), _COUNT, comma=comma)
    if count is not None and count < 0:
        raise ValueError(f"{cells[_COUNT][:40]!r} transactions cannot be; write 0 or more")
    return Sale(at, 1.0 if count is None else count, _amount(cells, comma=comma))


def _amount(cells: dict[str, str], *, comma: bool) -> float | None:
    return _number(cells.get(_AMOUNT, ""), _AMOUNT, comma=comma)


def _number(text: str, name: str, *, comma: bool) -> float | None:
    """A number of either spelling, as a comma separates no cells then; None where it is empty."""
    if not text:
        return None
    plain = text.replace(",", ".") if comma and "." not in text else text
    try:
        value = float(plain)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]!r} is not a number; `{name}` has digits and a point alone")
    return value
