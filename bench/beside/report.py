"""The report: one HTML page that needs no network, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from xml.sax.saxutils import escape

from . import charts
from .figures import (
    OK,
    RIVALS,
    UNLIMITED,
    UZSWAP,
    Ratio,
    Summary,
    geometric_mean,
    ratios_of,
    summaries_of,
)
from .rounds import Results
from .workloads import WORKLOADS

MIB = 1 << 20
# A contestant that held more than this share of its limit had an advantage: its figure is marked.
UNEQUAL = 1.03
STYLE = """
body { font: 15px/1.45 sans-serif; color: #222222; background: #ffffff; max-width: 1160px;
       margin: 2em auto; padding: 0 1em; }
h2 { margin-top: 2em; border-bottom: 1px solid #dddddd; }
table { border-collapse: collapse; font-size: 13px; margin: 0.8em 0; }
th, td { padding: 3px 7px; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #888888; font-weight: 600; }
td:first-child, th:first-child, td.word { text-align: left; }
tr.first td { border-top: 1px solid #dddddd; }
tr.uzswap td { font-weight: 600; }
.bad { color: #b42318; }
.wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; }
pre { font-size: 13px; white-space: pre-wrap; }
"""

INTRODUCTION = (
    "Each workload runs without a limit, and then in a share of the memory that it needs. Program"
    " and compressed pool together have the same memory with each contestant. Times are medians of"
    " interleaved rounds; the thin line in a bar reaches from the fastest to the slowest round. A"
    " ratio is the time of uzswap divided by that of the better of zswap and zram: below 1, uzswap"
    " is faster. Runs that the kernel killed have no time; the medians are those of the others."
)
FAULT_NOTE = (
    "From the histogram fault_ns of uzswap: from reading a fault until the page is there. uzswap"
    " does not measure the parts (wake-up, lookup, decompression, mapping, taking a victim,"
    " compression) yet. The kernel's own faults are not timed; percentiles of an operation stand"
    " in the tables of the workloads."
)


def as_json(results: Results, machine: dict[str, str]) -> dict[str, object]:
    summaries = summaries_of(results.records)
    return {
        "machine": machine,
        "needs": results.needs,
        "skipped": results.skipped,
        "runs": [one.as_json() for one in results.records],
        "summaries": [asdict(one) for one in summaries],
        "ratios": [asdict(one) for one in ratios_of(summaries)],
    }


def row(cells: Iterable[str], tag: str = "td", mark: str = "") -> str:
    inner = "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)
    return f'<tr class="{mark}">{inner}</tr>' if mark else f"<tr>{inner}</tr>"


def table(head: Sequence[str], rows: Sequence[str]) -> str:
    top = row([escape(one) for one in head], "th")
    body = "\n".join(rows)
    return f'<div class="wide"><table>\n{top}\n{body}\n</table></div>'


def html(results: Results, machine: dict[str, str]) -> str:
    summaries = summaries_of(results.records)
    ratios = ratios_of(summaries)
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>',
        '<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head>',
        '<meta charset="UTF-8"/><title>uzswap beside the kernel\'s swap</title>',
        f"<style>{escape(STYLE)}</style></head><body>",
        f"<h1>uzswap beside the kernel's swap</h1><p>{escape(INTRODUCTION)}</p>",
        machine_section(machine),
        ratio_section(ratios),
        skipped_section(results),
    ]
    for name in dict.fromkeys(one.workload for one in summaries):
        group = [one for one in summaries if one.workload == name]
        parts.append(workload_section(name, group, results.needs.get(name, 0)))
    parts += [fault_section(summaries), "</body></html>"]
    return "\n".join(part for part in parts if part) + "\n"


def machine_section(machine: dict[str, str]) -> str:
    rows = [row([escape(name), escape(value)]) for name, value in machine.items()]
    marked = [one.replace("<td>", '<td class="word">') for one in rows]
    return '<h2>The machine</h2><div class="wide"><table>\n' + "\n".join(marked) + "</table></div>"


def ratio_cell(one: Ratio | None) -> str:
    if one is None:
        return "<td></td>"
    if one.value is None:
        return f'<td class="bad">{escape(one.note[:60])}</td>'
    colour = charts.colour_of_ratio(one.value)
    note = f'<br/><span class="bad">{escape(one.note[:60])}</span>' if one.note else ""
    cell = f"{one.value:.2f} ({escape(one.rival or '')}){note}"
    return f'<td style="background: {colour}">{cell}</td>'


def ratio_section(ratios: Sequence[Ratio]) -> str:
    if not any(one.value is not None for one in ratios):
        return "<h2>Ratios</h2><p>There is no workload that both uzswap and a rival finished.</p>"
    percents = sorted({one.percent for one in ratios}, reverse=True)
    by_place = {(one.workload, one.percent): one for one in ratios}
    rows = []
    for name in dict.fromkeys(one.workload for one in ratios):
        cells = "".join(ratio_cell(by_place.get((name, percent))) for percent in percents)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    means = []
    for percent in percents:
        values = [one.value for one in ratios if one.percent == percent and one.value is not None]
        mean = geometric_mean(values)
        means.append("" if mean is None else f"{mean:.2f}")
    rows.append(row(["geometric mean", *means], mark="first"))
    head = ["workload", *(f"{percent} %" for percent in percents)]
    return "<h2>Ratios</h2>\n" + charts.ratio_plot(ratios) + table(head, rows)


def skipped_section(results: Results) -> str:
    if not results.skipped:
        return ""
    lines = "\n".join(f"{name}: {reason}" for name, reason in results.skipped.items())
    return f"<h2>What could not run</h2><pre>{escape(lines)}</pre>"


def micro(details: dict[str, float], name: str) -> str:
    return f"{details[name] / 1000:.2f}" if name in details else ""


def count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def summary_row(one: Summary, base: float | None, first: bool) -> str:
    marks = " ".join(
        mark for mark, wanted in (("first", first), ("uzswap", one.contestant == UZSWAP)) if wanted
    )
    percent = "no limit" if one.contestant == UNLIMITED else f"{one.percent} %"
    if one.median is not None:
        span = f"{min(one.seconds):.2f} to {max(one.seconds):.2f}"
        if one.end != OK:
            span += f'<br/><span class="bad">{escape(one.end[:60])}</span>'
        slowdown = f"{one.median / base:.2f}" if base else ""
        times = [f"{one.median:.2f}", span, slowdown]
    else:
        times = [f'<span class="bad">{escape(one.end[:60])}</span>', "", ""]
    operation = [
        micro(one.details, key) for key in ("operation_ns", "p50_ns", "p99_ns", "p999_ns")
    ]
    held = f"{one.held / MIB:.0f} of {one.limit / MIB:.0f}" if one.limit else ""
    if one.held > one.limit * UNEQUAL > 0:
        held = f'<span class="bad">{held}</span>'
    counts = [count(one.misses), count(one.pages_in), count(one.staging_faults), held]
    counts.append("" if one.page_cluster is None else str(one.page_cluster))
    return row([percent, escape(one.contestant), *times, *operation, *counts], mark=marks)


def base_of(group: Sequence[Summary]) -> tuple[float | None, str]:
    """What times are divided by: the run without a limit, or else the fastest."""
    for one in group:
        if one.contestant == UNLIMITED and one.median:
            return one.median, "the run without a limit"
    return min((one.median for one in group if one.median), default=None), "the fastest"


def workload_section(name: str, group: Sequence[Summary], need: int) -> str:
    base, base_name = base_of(group)
    order = list(charts.COLOURS)
    ordered = sorted(group, key=lambda one: (-one.percent, order.index(one.contestant)))
    unit = WORKLOADS[name].unit if name in WORKLOADS else "operation"
    head = ["memory", "contestant", "seconds", "from, to", "slowdown", f"µs a {unit}",
            "p50", "p99", "p99.9", "misses", "pages in", "staging", "MiB held", "page-cluster"]
    rows, last = [], None
    for one in ordered:
        rows.append(summary_row(one, base, one.percent != last))
        last = one.percent
    title = WORKLOADS[name].title if name in WORKLOADS else name
    plot = charts.bars(name, [one for one in ordered if one.contestant != UNLIMITED], base,
                       base_name) if base else ""
    plot_note = f"<p>It needs {need / MIB:.0f} MiB. The bars: time divided by that of {base_name}."
    return (f"<h2>{escape(name)}: {escape(title)}</h2>{plot_note}</p>\n"
            + plot + table(head, rows))


def fault_section(summaries: Sequence[Summary]) -> str:
    found = [one for one in summaries if one.fault_ns]
    if not found:
        return ""
    names = ("mean", "p50", "p90", "p99", "p999", "max")
    rows = [
        row([escape(one.workload), f"{one.percent} %",
             *(micro(one.fault_ns, name) for name in names)])
        for one in found
    ]
    head = ["workload", "memory", "mean µs", "p50", "p90", "p99", "p99.9", "max"]
    return f"<h2>Time of a fault in uzswap</h2><p>{escape(FAULT_NOTE)}</p>" + table(head, rows)


def lines_of(results: Results) -> list[str]:
    """The ratios for a terminal."""
    ratios = ratios_of(summaries_of(results.records))
    found = []
    for one in ratios:
        value = "" if one.value is None else f"{one.value:.2f} of {one.rival}"
        words = "; ".join(part for part in (value, one.note) if part)
        found.append(f"{one.workload:12} {one.percent:3} %  {words}")
    mean = geometric_mean(one.value for one in ratios if one.value is not None)
    if mean is not None:
        found.append(f"geometric mean    {mean:.2f} of the better of {' and '.join(RIVALS)}")
    return found
