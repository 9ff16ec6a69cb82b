"""A report as PDF, set by Typst. What it says goes there as data: no text becomes a command."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources

from pipeline.core.errors import MoonwatchError
from pipeline.core.machine import how_to_install
from pipeline.reports.page import ReportPage


def as_pdf(page: ReportPage, until: float) -> bytes:
    """The whole file, dated `until`; raises MoonwatchError where Typst is missing or fails."""
    try:
        import typst
    except ModuleNotFoundError:
        raise MoonwatchError(
            f"--format pdf needs typst; install it with: {how_to_install('report')}, "
            "or write html and print that"
        ) from None
    template = resources.files("pipeline.reports").joinpath("report.typ").read_bytes()
    said = json.dumps(asdict(page), ensure_ascii=False)
    made = datetime.fromtimestamp(until, UTC)
    try:
        compiler = typst.Compiler(template, sys_inputs={"page": said}, ignore_system_fonts=True)
        pdf = compiler.compile(format="pdf", timestamp=made)
    except (RuntimeError, ValueError) as error:
        raise MoonwatchError(f"the report cannot be set as PDF: {error}") from error
    if not isinstance(pdf, bytes):
        raise MoonwatchError("the report cannot be set as PDF: it has no pages")
    return pdf
