"""A report as the bytes of a file."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pipeline.core.audits import Audits
from pipeline.core.store import History, Span
from pipeline.deployment.model import Deployment
from pipeline.reports.export import COUNTS, Export, ExportColumn, Row, counts, rounded
from pipeline.reports.figures import SiteReport, figures
from pipeline.reports.html import as_html
from pipeline.reports.page import laid_out
from pipeline.reports.pdf import as_pdf
from pipeline.reports.periods import Period
from pipeline.reports.sales import read_sales
from pipeline.reports.writing import write_csv, write_parquet

ReportFormat = Literal["html", "pdf", "csv", "parquet"]
REPORT_FORMATS: Mapping[ReportFormat, str] = {
    "html": "HTML",
    "pdf": "PDF",
    "csv": "CSV",
    "parquet": "counts by hour in Parquet",
}
MEDIA_TYPES: Mapping[ReportFormat, str] = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
FIGURES = (
    ExportColumn("site", "text", "Name of the site."),
    ExportColumn("period", "text", "The period, such as 2026-W47."),
    ExportColumn("day", "text", "One of its days; empty for all of it."),
    ExportColumn("camera", "text", "Name of the camera."),
    ExportColumn("rule", "text", "Name of the rule."),
    ExportColumn("type", "text", "Type of the rule."),
    ExportColumn("measure", "text", "What is measured."),
    ExportColumn("unit", "text", "What is counted."),
    ExportColumn("value", "number", "The number within opening hours; empty where unknown."),
    ExportColumn("coverage", "number", "Share of open time that is known; empty when closed."),
    ExportColumn("before", "number", "The number of the period before, of all of it."),
    ExportColumn("coverage_before", "number", "Share of its open time that is known."),
    ExportColumn("outside", "number", "The number outside of opening hours, of sums."),
)
"""The columns of a report as CSV."""


def made(
    deployment: Deployment,
    history: History,
    chosen: Period,
    now: float,
    form: ReportFormat,
    site: str | None = None,
    audits: Audits | None = None,
    sales: Path | None = None,
) -> bytes:
    """The file; the same bytes for the same store and period once that is over.

    With a CSV of `sales`, or that of the site. Raises StoreError, and MoonwatchError where the
    format needs what is not installed, or sales cannot be read.
    """
    if form == "parquet":
        return _counts_by_hour(deployment, history, chosen, now, site)
    place = deployment.site if site is None else deployment.sites[site]
    path = sales or place.sales
    sold = None if path is None else read_sales(path, place.timezone)
    report = figures(deployment, history, chosen, now, site, audits, sold)
    if form == "csv":
        file = io.BytesIO()
        write_csv(Export(FIGURES, _rows(report)), file)
        return file.getvalue()
    page = laid_out(report)
    return as_html(page).encode() if form == "html" else as_pdf(page, report.until)


def file_name(report_name: str, chosen: Period, form: ReportFormat) -> str:
    """What a report's file is called."""
    return f"{report_name}-{chosen.name}.{form}"


def _counts_by_hour(
    deployment: Deployment, history: History, chosen: Period, now: float, site: str | None
) -> bytes:
    """For other programs, not for people: what `moonwatch export --what counts` writes."""
    hours = (deployment.site if site is None else deployment.sites[site]).opening_hours
    span = Span(chosen.span(hours)[0], chosen.up_to(now, hours))
    cameras = [name for name, camera in deployment.cameras.items() if camera.site == site]
    file = io.BytesIO()
    # Cut at the borders of the period: no minute is in two files, nor missing between them.
    found = counts(deployment, history, "1h", span, cameras, cut=True)
    write_parquet(found if cameras else Export(COUNTS, iter(())), file)
    return file.getvalue()


def _sales_rows(report: SiteReport) -> Iterator[Row]:
    """Those of the site as a whole: no camera and no rule."""
    sales = report.sales
    if sales is None:
        return
    days = [
        (day.isoformat(), one) for day, one in zip(report.period.days, sales.by_day, strict=True)
    ]
    for name, unit in (
        ("transactions", "transactions"),
        ("amount", "money"),
        ("conversion", "transactions per person who came in"),
    ):
        about = (None, None, "sales", name, unit)
        yield (
            *(report.site.name, report.period.name, None, *about),
            rounded(getattr(sales.total, name)),
            None,
            rounded(getattr(sales.before, name)),
            None,
            rounded(sales.outside) if name == "transactions" else None,
        )
        for day, one in days:
            start = (report.site.name, report.period.name, day, *about)
            yield (*start, rounded(getattr(one, name)), None, None, None, None)


def _capture_rows(report: SiteReport) -> Iterator[Row]:
    """Who passed by and came in, of the site as a whole."""
    capture = report.capture
    if capture is None:
        return
    for name, unit in (
        ("passed", "people"),
        ("entered", "people"),
        ("rate", "people who came in per person who passed by"),
    ):
        about = (None, None, "capture", "capture_rate" if name == "rate" else name, unit)
        start = (report.site.name, report.period.name)
        total, before = capture.total, capture.before
        whole = rounded(getattr(total, name)), rounded(total.known)
        yield (
            *start,
            None,
            *about,
            *whole,
            rounded(getattr(before, name)),
            rounded(before.known),
            None,
        )
        for day, one in zip(report.period.days, capture.by_day, strict=True):
            of_day = rounded(getattr(one, name)), rounded(one.known)
            yield (*start, day.isoformat(), *about, *of_day, None, None, None)


def _inside_rows(report: SiteReport) -> Iterator[Row]:
    """How long people stayed, of the site as a whole."""
    inside = report.inside
    if inside is None:
        return
    about = (None, None, "doors", "time_in_store", "seconds, estimated")
    start = (report.site.name, report.period.name)
    yield (*start, None, *about, rounded(inside.mean_s), None, None, None, None)
    for day, value in zip(report.period.days, inside.by_day, strict=True):
        yield (*start, day.isoformat(), *about, rounded(value), None, None, None, None)


def _rows(report: SiteReport) -> Iterator[Row]:
    yield from _sales_rows(report)
    yield from _capture_rows(report)
    yield from _inside_rows(report)
    for rule in report.rules:
        for one in rule.measures:
            about = (rule.camera, rule.rule, rule.type, one.measure.name, one.measure.unit)
            yield (
                report.site.name,
                report.period.name,
                None,
                *about,
                rounded(one.total.value),
                rounded(rule.coverage) if report.open_minutes else None,
                rounded(one.total.before),
                rounded(rule.coverage_before),
                rounded(one.outside),
            )
            for i, day in enumerate(report.period.days):
                yield (
                    report.site.name,
                    report.period.name,
                    day.isoformat(),
                    *about,
                    rounded(one.by_day[i]),
                    rounded(rule.coverage_by_day[i]),
                    None,
                    None,
                    None,
                )
