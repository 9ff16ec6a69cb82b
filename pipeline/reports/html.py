"""A report as one HTML file: no script, nothing fetched, the same bytes each time."""

from collections.abc import Iterator, Sequence
from html import escape

from pipeline.reports.page import Bar, Headline, Heat, HeatCell, ReportPage, Section, Table

_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#16202c;--quiet:#586474;--line:#dfe4ea;
--panel:#f5f7f9;--accent:#0f5f8c;--up:#17693a;--down:#a3312a;--warn:#8a5a00;--warn-paper:#fdf3dc;
--bar:#1b7bb0;--none:#e9edf1}
@media (prefers-color-scheme:dark){:root{--paper:#11161c;--ink:#e7ecf2;--quiet:#9aa7b5;
--line:#2a333d;--panel:#19212a;--accent:#7cc4ec;--up:#6fd197;--down:#f39a92;--warn:#f0c067;
--warn-paper:#33280f;--bar:#3d9fd3;--none:#222b35}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:64rem;margin:0 auto;padding:2.5rem 1.5rem 4rem}
header p{margin:0;color:var(--quiet)}
.site{font-weight:600;letter-spacing:.04em;text-transform:uppercase;font-size:.8rem;
color:var(--accent)}
h1{font-size:2rem;line-height:1.2;margin:.2rem 0 .1rem;letter-spacing:-.02em}
h2{font-size:1.25rem;margin:3rem 0 .2rem;padding-top:1rem;border-top:1px solid var(--line);
letter-spacing:-.01em}
h3{font-size:.95rem;margin:1.8rem 0 .4rem;font-weight:600}
p.about{margin:.1rem 0 1rem;color:var(--quiet);max-width:46rem}
.numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;
margin:1.8rem 0 0;padding:0;list-style:none}
.numbers li{background:var(--panel);border:1px solid var(--line);border-radius:.6rem;
padding:.9rem 1rem 1rem;display:flex;flex-direction:column}
.numbers .label{color:var(--quiet);font-size:.85rem}
.numbers .value{font-size:1.75rem;font-weight:650;letter-spacing:-.02em;line-height:1.25}
.numbers .note{font-size:.8rem;color:var(--quiet);margin-top:.25rem;line-height:1.35}
.up .note{color:var(--up)}.down .note{color:var(--down)}.warn .note{color:var(--warn)}
.remarks{margin:1.2rem 0 0;padding:.7rem 1rem;background:var(--warn-paper);
border-radius:.6rem;list-style:none;color:var(--warn);font-size:.9rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.88rem;margin:.6rem 0 0}
th,td{text-align:left;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line);
vertical-align:top}
thead th{color:var(--quiet);font-weight:500;font-size:.8rem;border-bottom-color:var(--quiet)}
tbody th{font-weight:500}
.n{text-align:right}
table.words td{color:var(--quiet)}table.words th{white-space:nowrap;padding-right:1.5rem}
table.heat{table-layout:fixed;border-spacing:2px;border-collapse:separate;margin-left:-2px}
table.heat th{border:0;padding:.1rem .3rem .1rem 0;font-size:.75rem;font-weight:500;
color:var(--quiet);white-space:nowrap}
table.heat thead th{text-align:center;padding:0}
table.heat .day{width:5.2rem}
table.heat td{border:0;padding:0;height:1.7rem;text-align:center;vertical-align:middle;
font-size:.75rem;border-radius:.25rem;-webkit-print-color-adjust:exact;print-color-adjust:exact}
td.closed{background:none}
td.unknown{background:repeating-linear-gradient(135deg,var(--none) 0 4px,transparent 4px 8px);
color:var(--quiet)}
td.partial{outline:1.5px dashed currentColor;outline-offset:-2px}
.key{font-size:.78rem;color:var(--quiet);margin:.4rem 0 0}
svg{display:block;width:100%;height:auto;margin:.8rem 0 0}
svg text{fill:var(--quiet);font-size:11px}svg .figure{fill:var(--ink)}
svg .bar{fill:var(--bar)}svg .part{fill:var(--bar);fill-opacity:.45}
svg .none{fill:var(--none)}svg .axis{stroke:var(--line)}
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--quiet);
font-size:.8rem}
@page{size:A4;margin:15mm}
@media print{:root{--paper:#fff;--ink:#16202c;--quiet:#586474;--line:#dfe4ea;--panel:#f5f7f9;
--accent:#0f5f8c;--up:#17693a;--down:#a3312a;--warn:#8a5a00;--warn-paper:#fdf3dc;--bar:#1b7bb0;
--none:#e9edf1;color-scheme:light}main{padding:0;max-width:none}body{font-size:10pt}
.numbers{grid-template-columns:repeat(5,1fr);gap:.4rem}.numbers li{padding:.5rem .6rem}
.numbers .value{font-size:1.2rem}h2{break-after:avoid}h3{break-after:avoid}
tr,svg,.numbers li{break-inside:avoid}.scroll{overflow:visible}}
"""
_WIDTH, _HEIGHT, _TOP, _BOTTOM = 960, 220, 24, 34
# Shades of the accent from 12 % to all of it; text turns white where it would be hard to read.
_LEAST, _WHITE_FROM = 0.10, 0.58


def as_html(page: ReportPage) -> str:
    """The whole file."""
    return "".join(_html(page))


def _html(page: ReportPage) -> Iterator[str]:
    title = escape(f"{page.site}: {page.title}, {page.subtitle}")
    yield "<!doctype html>\n"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><main>\n"
    yield f'<header><p class="site">{escape(page.site)}</p><h1>{escape(page.title)}</h1>'
    yield f"<p>{escape(page.subtitle)}</p></header>\n"
    yield '<ul class="numbers">' + "".join(map(_headline, page.headlines)) + "</ul>\n"
    if page.remarks:
        said = "".join(f"<li>{escape(remark)}</li>" for remark in page.remarks)
        yield f'<ul class="remarks">{said}</ul>\n'
    for section in page.sections:
        yield from _section(section)
    yield f"<footer>{escape(page.footer)}</footer>\n</main></body></html>\n"


def _headline(one: Headline) -> str:
    return (
        f'<li class="{escape(one.tone)}"><span class="label">{escape(one.label)}</span>'
        f'<span class="value">{escape(one.value)}</span>'
        f'<span class="note">{escape(one.note)}</span></li>'
    )


def _section(section: Section) -> Iterator[str]:
    yield f"<section><h2>{escape(section.title)}</h2>"
    if section.about:
        yield f'<p class="about">{escape(section.about)}</p>'
    if section.bars:
        yield _bars(section.bars, f"{section.title} by day")
    for table in section.tables:
        yield _table(table)
    for heat in section.heats:
        yield from _heat(heat)
    yield "</section>\n"


def _table(table: Table) -> str:
    numbers = [' class="n"' if column.is_number else "" for column in table.columns]
    headings = "".join(
        f'<th scope="col"{kind}>{escape(column.heading)}</th>'
        for column, kind in zip(table.columns, numbers, strict=True)
    )
    rows = []
    for row in table.rows:
        first, *others = row
        cells = "".join(
            f"<td{kind}>{escape(text)}</td>" for text, kind in zip(others, numbers[1:], strict=True)
        )
        rows.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    words = ' class="words"' if not any(numbers) and len(table.columns) == 2 else ""
    return (
        f'<div class="scroll"><table{words}><thead><tr>{headings}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _heat(heat: Heat) -> Iterator[str]:
    yield f"<h3>{escape(heat.title)}</h3>"
    if not heat.hours:
        yield '<p class="about">The site was closed.</p>'
        return
    hours = "".join(f'<th scope="col">{escape(hour)}</th>' for hour in heat.hours)
    yield f'<div class="scroll"><table class="heat"><thead><tr><th class="day"></th>{hours}</tr>'
    yield "</thead><tbody>"
    for day, row in zip(heat.days, heat.rows, strict=True):
        yield f'<tr><th scope="row">{escape(day)}</th>{"".join(map(_cell, row))}</tr>'
    yield "</tbody></table></div>"
    yield '<p class="key">Hatched: unknown. Dashed: less than 90 % known. Blank: closed.</p>'


def _cell(cell: HeatCell) -> str:
    about = f' title="{escape(cell.title)}"'
    if cell.kind in ("closed", "unknown"):
        return f'<td class="{cell.kind}"{about}>{escape(cell.text)}</td>'
    shade = round((_LEAST + (1 - _LEAST) * cell.share) * 100)
    ink = "#fff" if shade >= _WHITE_FROM * 100 else "inherit"
    style = f"background:rgb(15 95 140/{shade}%);color:{ink}"
    return f'<td class="{cell.kind}" style="{style}"{about}>{escape(cell.text)}</td>'


def _bars(bars: Sequence[Bar], title: str) -> str:
    most = max((bar.value for bar in bars if bar.value is not None), default=0.0) or 1.0
    pitch = _WIDTH / len(bars)
    width = min(pitch * 0.62, 64.0)
    floor = _HEIGHT - _BOTTOM
    said = "; ".join(f"{bar.label}: {_bar_text(bar)}" for bar in bars)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}. '
        f'{escape(said)}">',
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{floor}" y2="{floor}"/>',
    ]
    every = max(1, -(-len(bars) // 12))
    for i, bar in enumerate(bars):
        middle = (i + 0.5) * pitch
        left = middle - width / 2
        tip = f"<title>{escape(f'{bar.label}: {_bar_text(bar)}')}</title>"
        if bar.value is not None:
            height = bar.value / most * (floor - _TOP)
            kind = "bar" if bar.coverage is not None and bar.coverage >= 0.9 else "part"
            parts.append(
                f'<rect class="{kind}" x="{left:.1f}" y="{floor - height:.1f}" '
                f'width="{width:.1f}" height="{height:.1f}" rx="2">{tip}</rect>'
            )
            if len(bars) <= 12:
                parts.append(
                    f'<text class="figure" x="{middle:.1f}" y="{floor - height - 6:.1f}" '
                    f'text-anchor="middle">{escape(bar.text)}</text>'
                )
        elif bar.coverage is not None:
            parts.append(
                f'<rect class="none" x="{left:.1f}" y="{_TOP}" width="{width:.1f}" '
                f'height="{floor - _TOP}" rx="2">{tip}</rect>'
                f'<text x="{middle:.1f}" y="{floor - 8}" text-anchor="middle">?</text>'
            )
        if i % every == 0:
            parts.append(
                f'<text x="{middle:.1f}" y="{_HEIGHT - 12}" text-anchor="middle">'
                f"{escape(bar.label)}</text>"
            )
    parts.append("</svg>")
    pale = any(bar.coverage is not None and bar.coverage < 0.9 for bar in bars)
    note = '<p class="key">Pale: less than 90 % of the day is known. Grey: unknown.</p>'
    return "".join(parts) + (note if pale else "")


def _bar_text(bar: Bar) -> str:
    if bar.coverage is None:
        return "closed"
    return f"{bar.text}, {bar.coverage:.0%} known".replace("%", " %")
