"""Draws a story as one HTML page that needs nothing else: no script, no font, no request. Pure, but for its style."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from tests.demo.books import NAMES, Books
from tests.demo.events import Event
from tests.demo.measurements import CHARTS, LIMIT, OUTCOMES, Metric
from tests.demo.scenes import Scene
from tests.demo.story import Invocation, Line, Row, Span, Story, duration, short

_STYLE = Path(__file__).with_name("page.css")
_KIND_OF_OUTCOME = {"succeeded": "succeeded", "failed": "failed", "timed out": "failed"}
_LEGEND = """
<p class="quiet">A bar is a span, a dot a log line, both where they were in time. <b>orders</b> is the invocation, named
after the function. <b>init</b>: Lambda starts the environment (<b>suppressed init</b>: again, within an invocation).
<b>responseLatency</b>: until the response begins.
<b>responseDuration</b>: until it is sent. <b>runtimeOverhead</b>: the runtime, after the response.
<b>extensionOverhead</b>: the extension, after the response.</p>
"""


def draw(
    story: Story, scenes: Mapping[str, Scene], metrics: Mapping[str, Metric], books: Books, events: Sequence[Event]
) -> str:
    """Return the page; *scenes* are by request id."""
    titles = [_scene(invocation, scenes).title for invocation in story.invocations]
    parts = [
        _head(books),
        _contents(story.invocations, titles),
        "<section><h2>The invocations</h2>" + _LEGEND + "</section>",
        *(
            _invocation(number, invocation, _scene(invocation, scenes))
            for number, invocation in enumerate(story.invocations, 1)
        ),
        _metrics(metrics),
        _books(books),
        _events(events),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Demo of telemetry-forwarder</title>\n<style>\n{_STYLE.read_text()}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _scene(invocation: Invocation, scenes: Mapping[str, Scene]) -> Scene:
    return scenes.get(invocation.request_id) or Scene("Another invocation", "", {})


def _head(books: Books) -> str:
    if books.problems:
        verdict = f'<p class="verdict failed">Not everything arrived: {escape("; ".join(books.problems))}.</p>'
    else:
        verdict = (
            f'<p class="verdict succeeded"><b>Everything arrived.</b> Lambda sent {books.events_sent} events; the '
            f"extension made log records, spans and data points of them. {escape(str(books).capitalize())}.</p>"
        )
    return (
        "<h1>A Lambda function, seen through OpenTelemetry</h1>"
        "<p>A function that takes orders was invoked in a local Lambda. This page shows what the extension next to it "
        f"sent to a receiver of OTLP, without any telemetry code in the function.</p>{verdict}"
    )


def _contents(invocations: Sequence[Invocation], titles: Sequence[str]) -> str:
    rows = (
        f'<tr><td>{number}</td><td><a href="#invocation-{number}">{escape(title)}</a></td>'
        f'<td class="outcome {_kind(invocation)}">{_outcome(invocation)}</td></tr>'
        for number, (invocation, title) in enumerate(zip(invocations, titles, strict=True), 1)
    )
    return f"<section><h2>What happened</h2><table>{''.join(rows)}</table></section>"


def _kind(invocation: Invocation) -> str:
    return invocation.kind(invocation.span)


def _outcome(invocation: Invocation) -> str:
    return f"{'✗' if invocation.is_failed else '✓'} {escape(invocation.outcome)}"


def _invocation(number: int, invocation: Invocation, scene: Scene) -> str:
    length_s = (invocation.end_ns - invocation.start_ns) / 1e9
    step_s = _step(length_s)
    marks = (
        f'<b style="--left:{_percent(tick * step_s, length_s)}">{duration(tick * step_s) if tick else 0}</b>'
        for tick in itertools.takewhile(lambda tick: tick * step_s <= length_s * 0.92, itertools.count())
    )
    rows = "\n".join(_row(row, invocation) for row in invocation.rows)
    return (
        f'<section class="invocation" id="invocation-{number}"><header><h3>{number}&ensp;{escape(scene.title)}</h3>'
        f'<span class="outcome {_kind(invocation)}">{_outcome(invocation)}</span></header>'
        f"<p>{escape(scene.caption)}</p>"
        f'<p class="ids">trace …{short(invocation.span.trace_id)}, request {escape(invocation.request_id)}</p>'
        f'<div class="waterfall" style="--tick:{_percent(step_s, length_s)}">'
        f'<div class="row ruler"><span></span><span class="axis">{"".join(marks)}</span></div>\n{rows}</div></section>'
    )


def _step(length_s: float) -> float:
    """Return the distance of the ruler's marks: 1, 2 or 5 of a power of ten, at most five of them."""
    steps = (factor * 10.0**power for power in range(-6, 6) for factor in (1, 2, 5))
    return next(step for step in steps if length_s <= step * 5)


def _percent(part: float, whole: float) -> str:
    return f"{part / max(whole, 1e-9):.3%}"


def _row(row: Row, invocation: Invocation) -> str:
    item = row.item
    length_ns = invocation.end_ns - invocation.start_ns
    left = _percent(item.start_ns - invocation.start_ns, length_ns)
    width = _percent(item.end_ns - item.start_ns, length_ns)
    if isinstance(item, Span):
        shape, name, time, text = "span", item.name, duration(item.duration_s), escape(item.error)
    else:
        offset = duration((item.start_ns - invocation.start_ns) / 1e9)
        shape, name, time, text = "line", item.severity or "log", f"+{offset}", _line_text(item)
    return (
        f'<div class="row {shape} {invocation.kind(item)}" style="--depth:{row.depth};--left:{left};--width:{width}">'
        f'<span class="name">{escape(name)}</span><span class="axis"><i></i></span>'
        f'<span class="time">{escape(time)}</span><span class="text">{text}</span></div>'
    )


def _line_text(line: Line) -> str:
    fields = "".join(f" <code>{escape(f'{key}={value}')}</code>" for key, value in line.fields.items())
    text = escape(line.summary) + fields
    if "\n" not in line.body.strip():
        return text
    return f"<details><summary>{text}</summary><pre>{escape(line.body)}</pre></details>"


def _metrics(metrics: Mapping[str, Metric]) -> str:
    charts = [_chart(metrics[name], title, metrics) for name, title in CHARTS.items() if name in metrics]
    rows = "".join(
        f"<tr><td><code>{escape(metric.name)}</code></td><td>{escape(metric.description)}</td>"
        f'<td class="number">{len(metric.points)}</td></tr>'
        for metric in metrics.values()
    )
    return (
        '<section><h2>Metrics</h2><p class="quiet">A bar is what one export says, usually of one invocation. Lambda '
        "measures durations itself; the spans lie between its events.</p>"
        f'<div class="charts">{_outcomes(metrics)}{"".join(charts)}</div>'
        "<details><summary>All metrics that arrived</summary><table><thead><tr><th>name</th><th>description</th>"
        f'<th class="number">data points</th></tr></thead>{rows}</table></details></section>'
    )


def _outcomes(metrics: Mapping[str, Metric]) -> str:
    totals = {word: metrics[name].total for name, word in OUTCOMES.items() if name in metrics}
    kinds = [(_KIND_OF_OUTCOME[word], word, total) for word, total in totals.items() if word in _KIND_OF_OUTCOME]
    shares = "".join(f'<i class="{kind}" style="--share:{total:g}"></i>' for kind, _, total in kinds)
    keys = "".join(f'<span class="key {kind}">{total:g} {word}</span>' for kind, word, total in kinds)
    cold = f'<p class="quiet">{totals.get("cold starts", 0):g} of them were cold starts.</p>'
    names = ", ".join(f"<code>{name}</code>" for name in OUTCOMES)
    return (
        f"<figure><h3>Invocations</h3><figcaption>{names}</figcaption>"
        f'<div class="share">{shares}</div>{keys}{cold}</figure>'
    )


def _chart(metric: Metric, title: str, metrics: Mapping[str, Metric]) -> str:
    limit = metrics.get(LIMIT.get(metric.name, ""))
    top = limit.most if limit else metric.most
    bars = "".join(
        f'<div class="bar {"failed" if point.error else "init"}" style="--height:{_percent(point.value, top)}">'
        f"{escape(metric.text(point.value))}<i></i>"
        f"<small>{f'most of {point.count}' if point.count > 1 else '&nbsp;'}</small></div>"
        for point in metric.points
    )
    of_limit = f" · full height: {limit.text(top)}" if limit else ""
    return (
        f"<figure><h3>{escape(title)}</h3><figcaption><code>{escape(metric.name)}</code>{of_limit}</figcaption>"
        f'<div class="bars">{bars}</div></figure>'
    )


def _books(books: Books) -> str:
    columns = ("received", "delivered", "held", "dropped", "arrived")
    heads = "".join(f'<th class="number">{column}</th>' for column in columns)
    rows = "".join(
        f"<tr><td>{NAMES[signal]}</td>"
        + "".join(f'<td class="number">{getattr(account, column)}</td>' for column in columns)
        + "</tr>"
        for signal, account in books.accounts.items()
    )
    return (
        '<section><h2>Totals</h2><p class="quiet">The extension counts every item; <b>arrived</b> is what the '
        f'receiver has.</p><div class="wide"><table><thead><tr><th></th>{heads}</tr></thead>{rows}</table></div>'
        f"<p><code>{escape(str(books))}</code></p></section>"
    )


def _events(events: Iterable[Event]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(event.time[11:23])}</code></td>"
        f"<td><details><summary>{escape(event.type)}</summary><pre>{escape(event.record)}</pre></details></td>"
        f"<td>{'<br>'.join(_became(event))}</td></tr>"
        for event in events
    )
    return (
        "<section><h2>What each Lambda event became</h2>"
        '<p class="quiet">In the order in which Lambda sent them; times are UTC.</p><table class="events"><thead><tr>'
        f"<th>time</th><th>event</th><th>became</th></tr></thead>{rows}</table></section>"
    )


def _became(event: Event) -> Iterator[str]:
    if not (event.log_records or event.spans or event.metrics):
        yield '<span class="quiet">part of the span that a later event ends</span>'
    for text in event.log_records:
        yield f"log record: {escape(text.partition(chr(10))[0])}"
    for kind, names in (("span", event.spans), ("metric", event.metrics)):
        if names:
            codes = ", ".join(f"<code>{escape(name)}</code>" for name in names)
            yield f"{kind}{'s' if len(names) > 1 else ''}: {codes}"
