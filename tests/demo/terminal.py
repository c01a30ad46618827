"""Draws a story as text. Pure but for `of`: the width and whether there are colours are arguments."""

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO

from tests.demo.books import NAMES, Books, is_ledger
from tests.demo.measurements import CHARTS, LIMIT, OUTCOMES, Metric
from tests.demo.scenes import Scene
from tests.demo.story import Invocation, Line, Row, Span, Story, duration, short

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35"}
_INDENT = "  "
_NAME_WIDTH = 22
_TIME_WIDTH = 8
_LEAST_WIDTH, _USUAL_WIDTH, _MOST_WIDTH = 80, 110, 140
_SPARKS = "▁▂▃▄▅▆▇█"
_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "init": "blue",
    "phase": "dim",
    "function": "magenta",
    "warning": "yellow",
    "error": "red",
    "platform": "dim",
}

_LEGEND = (
    "▆ is a span, ● a log line, both where they were in time. orders: an invocation, named after the function. "
    "init: Lambda starts the environment; suppressed init: again, within an invocation. "
    "responseLatency: until the response begins. responseDuration: until it is sent. "
    "runtimeOverhead: the runtime, after the response. extensionOverhead: the extension, after the response."
)


@dataclass(frozen=True, slots=True)
class Terminal:
    """How wide the text may be, and whether it may have colours."""

    width: int = _USUAL_WIDTH
    has_colours: bool = False

    def paint(self, text: str, *styles: str) -> str:
        if not self.has_colours or not styles:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"

    def heading(self, text: str) -> str:
        return self.paint(text, "bold")

    def invocations(self, story: Story, scenes: Mapping[str, Scene], *, after: int = 0) -> Iterator[str]:
        """Yield the lines for all invocations *after* a number of them; *scenes* are by request id."""
        yield from (self.paint(line, "dim") for line in textwrap.wrap(_LEGEND, self.width))
        for number, invocation in enumerate(story.invocations[after:], after + 1):
            yield ""
            yield from self._invocation(number, invocation, scenes.get(invocation.request_id))
        if story.others:
            yield ""
            yield f"Spans and log records of no invocation above: {len(story.others)}"

    def metrics(self, metrics: Mapping[str, Metric]) -> Iterator[str]:
        """Yield the lines for the metrics that matter."""
        yield self.heading("Metrics")
        if metrics:
            yield self.paint("  A bar is the highest value of one export, usually of one invocation.", "dim")
        counts = (f"{metrics[name].total:g} {word}" for name, word in OUTCOMES.items() if name in metrics)
        yield f"  {'invocations':<26} {', '.join(counts) or 'no metric has arrived'}"
        for name in CHARTS:
            if metric := metrics.get(name):
                yield f"  {name:<26} {_sparks(metric)}  {_summary(metric, metrics)}"

    def books(self, books: Books) -> Iterator[str]:
        """Yield the totals: a table, and the ledger in the last line."""
        yield self.heading("Totals: what the extension counted, and what the receiver has")
        yield self.paint(f"  {'':<12} received  delivered  held  dropped  at the receiver", "dim")
        for signal, account in books.accounts.items():
            colour = "green" if account.is_balanced else "red"
            yield (
                f"  {NAMES[signal]:<12} {account.received:>8}  {account.delivered:>9}  {account.held:>4}"
                f"  {account.dropped:>7}  {self.paint(f'{account.arrived:>15}', colour)}"
            )
        yield f"  made of {books.events_received} events; Lambda sent {books.events_sent}"
        for problem in books.problems:
            yield self.paint(f"  not delivered: {problem}", "red")
        yield self.paint(str(books), "bold", "red" if books.problems else "green")

    def extension_lines(self, output: Iterable[str]) -> Iterator[str]:
        """Yield what the extension logged but for its ledger, which the totals show: warnings, if there are any."""
        lines = [line for line in output if not is_ledger(line)]
        if lines:
            yield self.heading("The extension logged:")
            yield from (f"  {line}" for line in lines)
            yield ""

    def _invocation(self, number: int, invocation: Invocation, scene: Scene | None) -> Iterator[str]:
        title = f"{number}  {scene.title if scene else 'Another invocation'}"
        outcome = f"{'✗' if invocation.is_failed else '✓'} {invocation.outcome}"
        gap = " " * max(2, self.width - len(title) - len(outcome))
        yield self.paint(title, "bold") + gap + self.paint(outcome, "bold", "red" if invocation.is_failed else "green")
        if scene:
            yield from textwrap.wrap(scene.caption, self.width, initial_indent="   ", subsequent_indent="   ")
        ids = f"   trace …{short(invocation.span.trace_id)}, request {invocation.request_id}"
        yield self.paint(ids, "dim")
        for row in invocation.rows:
            yield from self._row(row, invocation)

    def _row(self, row: Row, invocation: Invocation) -> Iterator[str]:
        """Yield the line of *row*, and more if its text is longer than the room for it."""
        item, kind = row.item, invocation.kind(row.item)
        styles = [_COLOURS[kind]] if kind in _COLOURS else []
        if isinstance(item, Span):
            label, time, text = item.name, duration(item.duration_s), item.error
        else:
            label, text = item.severity or "log", _line_text(item)
            time = f"+{duration((item.start_ns - invocation.start_ns) / 1e9)}"
        name, axis = f" {_INDENT * (row.depth + 1)}{label}", self._axis(item, invocation)
        room = self.width - _NAME_WIDTH - self._axis_width - _TIME_WIDTH - 5
        for part in textwrap.wrap(text, room, max_lines=1 if kind == "platform" else None, placeholder="…") or [""]:
            yield (
                f"{self.paint(f'{name:<{_NAME_WIDTH}.{_NAME_WIDTH}}', *styles)} {self.paint('│', 'dim')}"
                f"{self.paint(axis, *styles)}{self.paint('│', 'dim')}{time:>{_TIME_WIDTH}}  {self.paint(part, *styles)}"
            ).rstrip()
            name, axis, time = "", " " * self._axis_width, ""

    @property
    def _axis_width(self) -> int:
        return max(16, (self.width - _NAME_WIDTH - _TIME_WIDTH) // 3)

    def _axis(self, item: Span | Line, invocation: Invocation) -> str:
        """Return the time axis with the span's bar or the log line's mark."""
        cells = self._axis_width
        scale = cells / max(1, invocation.end_ns - invocation.start_ns)
        first = min(cells - 1, int((item.start_ns - invocation.start_ns) * scale))
        if isinstance(item, Line):
            return f"{' ' * first}●".ljust(cells)
        last = max(first + 1, round((item.end_ns - invocation.start_ns) * scale))
        return f"{' ' * first}{'▆' * (last - first)}".ljust(cells)


def of(stream: TextIO, environment: Mapping[str, str]) -> Terminal:
    """Return the terminal behind *stream*; what is no terminal has no colours, nor has one with NO_COLOR."""
    has_colours = stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    columns = shutil.get_terminal_size((_USUAL_WIDTH, 0)).columns
    return Terminal(min(_MOST_WIDTH, max(_LEAST_WIDTH, columns)), has_colours)


def _line_text(line: Line) -> str:
    return "  ".join([line.summary, *(f"{key}={value}" for key, value in line.fields.items())])


def _sparks(metric: Metric) -> str:
    most = metric.most or 1.0
    bars = (_SPARKS[min(7, int(point.value / most * 7.99))] for point in metric.points)
    return f"{''.join(bars):<8}"


def _summary(metric: Metric, metrics: Mapping[str, Metric]) -> str:
    if limit := metrics.get(LIMIT.get(metric.name, "")):
        return f"{metric.range} of {limit.text(limit.most)}"
    return f"{metric.range}, {metric.text(metric.total)} in total"
