"""Sales against who came in: what is not known is not divided by."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from connectors.stores.sql import SqlStore
from pipeline.core.errors import MoonwatchError
from pipeline.deployment.model import Deployment
from pipeline.deployment.problems.machine import problems
from pipeline.reports.figures import figures, over_doors
from pipeline.reports.making import made
from pipeline.reports.page import laid_out
from pipeline.reports.periods import period
from pipeline.reports.sales import Sale, read_sales
from tests.reports import weeks
from tests.reports.weeks import at

LATER = at("2026-11-24T06:00")
ZONE = "Europe/Berlin"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one week and the one before; on Tuesday there was no power from 12 to 15."""
    url = f"sqlite:///{tmp_path_factory.mktemp('sales') / 'weeks.db'}"
    weeks.filled(url, (date(2026, 11, 9), date(2026, 11, 22))).close()
    return url


@pytest.fixture
def shop(url: str) -> Deployment:
    """The deployment."""
    return weeks.deployment(url)


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """The store, to read."""
    store = SqlStore(url, read_only=True)
    yield store
    store.close()


def till(path: Path, days: tuple[date, date]) -> Path:
    """Ten receipts at 11:30 and one after closing, on every day."""
    rows = ["Time;Count;Amount;Cashier"]
    day = days[0]
    while day <= days[1]:
        rows += [f"{day} 11:30;10;125,50;Kim", f"{day} 21:30;1;3,00;Kim", ""]
        day += timedelta(days=1)
    path.write_text("\n".join(rows), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("time\n2026-11-26 14:05\n", [Sale(at("2026-11-26T14:05"), 1.0, None)]),
        # with an offset, whatever the site's clock says
        ("time,count\n2026-11-26T14:05Z,2\n", [Sale(at("2026-11-26T15:05"), 2.0, None)]),
        # a decimal comma, columns in another order, a refund
        ("amount;time\n-3,50;2026-07-01 09:00\n", [Sale(at("2026-07-01T09:00"), 1.0, -3.5)]),
        # in order of time
        (
            "time\tamount\n2026-11-26 14:05\t2\n2026-11-26 09:00\t1\n",
            [Sale(at("2026-11-26T09:00"), 1.0, 1.0), Sale(at("2026-11-26T14:05"), 1.0, 2.0)],
        ),
        ("time,count,amount\n", []),
    ],
)
def test_sales_are_read(tmp_path: Path, text: str, rows: list[Sale]) -> None:
    """As tills write them."""
    path = tmp_path / "till.csv"
    path.write_text(text, encoding="utf-8")
    assert list(read_sales(path, ZONE).rows) == rows


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"date,count\n", "have no column `time` (found: 'date', 'count'); the first line names"),
        (b"", "have no column `time` (found: none)"),
        (b"time,count\n2026-11-26 9:99,1\n", "line 2: '2026-11-26 9:99' is not a time; write"),
        (b"time,count\n2026-11-26 09:00,many\n", "line 2: 'many' is not a number; `count` has"),
        (b"time,count\n2026-11-26 09:00,nan\n", "'nan' is not a number"),
        (b"time,count\n2026-11-26 09:00,-1\n", "line 2: '-1' transactions cannot be"),
        (b"time,amount\n2026-11-26 09:00,1.2.3\n", "line 2: '1.2.3' is not a number; `amount`"),
        (b"time\n0001-01-02 09:00\n", "is not a time between 1900 and 2200"),
        (b"time\n\xff\n", "are not UTF-8; save them as CSV UTF-8"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    """The file, the line, what stands there, and what should."""
    path = tmp_path / "till.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MoonwatchError) as caught:
        read_sales(path, ZONE)
    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)


def test_conversion_is_of_known_time_alone(
    shop: Deployment, store: SqlStore, tmp_path: Path
) -> None:
    """Not of a day with an outage, nor of those before and after the file; while it is open."""
    chosen = period("week", "2026-W47", LATER, shop.site.opening_hours)
    path = till(tmp_path / "till.csv", (date(2026, 11, 16), date(2026, 11, 20)))
    report = figures(shop, store.history, chosen, LATER, sales=read_sales(path, ZONE))
    assert report.sales is not None
    days = report.sales.by_day
    assert [day.transactions for day in days] == [10, 10, 10, 10, 10, None, None]
    assert days[1].conversion is None  # of Tuesday too little is known
    entered = [rule.figure("entered") for rule in report.doors]
    monday = sum(one.by_day[0] or 0 for one in entered if one is not None)
    assert days[0].conversion == pytest.approx(10 / monday)
    assert days[0].per_transaction == pytest.approx(12.55)
    # The file ends on Friday, and the week does on Saturday.
    assert (report.sales.total.transactions, report.sales.total.conversion) == (None, None)
    assert report.sales.before.transactions is None
    assert report.sales.outside == 5

    path = till(path, (date(2026, 11, 9), date(2026, 11, 21)))
    report = figures(shop, store.history, chosen, LATER, sales=read_sales(path, ZONE))
    assert report.sales is not None
    total = over_doors(report.doors, "entered")
    assert total is not None
    assert total.value is not None
    assert report.sales.total.transactions == 60
    assert total.is_complete
    assert report.sales.total.conversion == pytest.approx(60 / total.value)
    assert report.sales.before.transactions == 60
    (section,) = (one for one in laid_out(report).sections if one.title == "Sales")
    assert section.tables[0].rows[1][:4] == ["Tue 17 Nov", "10", "unknown", "125.50"]
    assert "Columns of the file that are not used: Cashier." in section.about
    # In the evenings, and those of Sunday; of the week's only.
    assert "Outside of opening hours there were 6 transactions." in section.about


@pytest.mark.slow
def test_the_command_and_the_site_name_the_file(
    url: str, shop: Deployment, store: SqlStore, tmp_path: Path
) -> None:
    """Both give the same report; without a file there is nothing about sales."""
    path = till(tmp_path / "till.csv", (date(2026, 11, 9), date(2026, 11, 21)))
    chosen = period("week", "2026-W47", LATER, shop.site.opening_hours)
    by_option = made(shop, store.history, chosen, LATER, "csv", sales=path)
    site = shop.site.model_copy(update={"sales": path})
    by_site = made(shop.model_copy(update={"site": site}), store.history, chosen, LATER, "csv")
    assert by_option == by_site
    rows = list(csv.DictReader(io.StringIO(by_option.decode())))
    sold = {(row["measure"], row["day"]): row["value"] for row in rows if row["type"] == "sales"}
    assert sold["transactions", "2026-11-17"] == "10"
    assert sold["conversion", "2026-11-17"] == ""
    assert b"sales" not in made(shop, store.history, chosen, LATER, "csv")
    file = tmp_path / "shop.yaml"
    file.write_text(weeks.SHOP.format(url=url), encoding="utf-8")
    out = tmp_path / "week.csv"
    command = [sys.executable, "-m", "pipeline", "report", str(file), "--week", "2026-W47"]
    command += ["--format", "csv", "--sales", str(path), "--out", str(out)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert out.read_bytes() == by_option


def test_check_warns_of_a_file_that_is_not_there(shop: Deployment, tmp_path: Path) -> None:
    """At its line; the cameras run without it."""
    site = shop.site.model_copy(update={"sales": tmp_path / "till.csv"})
    edited = shop.model_copy(update={"site": site})
    (found,) = (one for one in problems(edited, only_fatal=False) if one.path == "site.sales")
    assert "is not a file, so reports cannot be made" in found.message
    assert not [one for one in problems(edited, only_fatal=True) if one.path == "site.sales"]
    till(tmp_path / "till.csv", (date(2026, 11, 9), date(2026, 11, 9)))
    assert not [one for one in problems(edited, only_fatal=False) if one.path == "site.sales"]
