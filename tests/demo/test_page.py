"""The page is well-formed, needs nothing else, and has everything of the story."""

import re
from html.parser import HTMLParser

import pytest

from tests.demo import measurements, page, story
from tests.demo.example import BOOKS, EVENTS, MESSAGES, SCENES, WRONG_BOOKS
from tests.demo.messages import histogram, invocation_span
from tests.demo.story import KINDS

_VOID = {"meta", "br"}


class Document(HTMLParser):
    """Reads a page: its text, and what is wrong with it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.ids: list[str] = []
        self.links: list[str] = []
        self.classes: list[str] = []
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name == "href":
                self.links.append(value or "")
            elif name == "id":
                self.ids.append(value or "")
            elif name == "class":
                self.classes.append(value or "")
            elif name == "src" or name.startswith("on"):
                self.problems.append(f"<{tag} {name}={value}>")
        if tag in {"script", "link", "img", "iframe", "object", "embed", "base"}:
            self.problems.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data


def problems(html: str) -> list[str]:
    """Return what is wrong with a page that must open from disk, without a network."""
    document = Document(html)
    found = [*document.problems, *(f"refers to {each}" for each in re.findall(r"https?://\S+|@import|url\(", html))]
    found += [f"no target of {link}" for link in document.links if link.removeprefix("#") not in document.ids]
    return found + [f"two ids {each}" for each in set(document.ids) if document.ids.count(each) > 1]


def drawn() -> str:
    return page.draw(story.read(MESSAGES), SCENES, measurements.read(MESSAGES), BOOKS, EVENTS)


def test_page_is_well_formed_and_needs_nothing_else() -> None:
    assert problems(drawn()) == []


@pytest.mark.parametrize(
    "html",
    [
        "<p>",
        "</p>",
        '<script src="https://cdn.example/x.js"></script>',
        "<style>@import 'x';</style>",
        '<a href="#x">x</a>',
    ],
)
def test_problems_are_found(html: str) -> None:
    assert problems(html)


@pytest.mark.parametrize(
    "text",
    [
        "✓ succeeded in 160 ms",
        "✗ failed after 100 ms: CardDeclinedError",
        "Lambda starts <it>.",
        "trace …00000001, request request-1",
        "items reserved order=7",
        "CardDeclinedError: declined <b>\nTraceback",
        "1 succeeded1 failed",
        "Everything arrived. Lambda sent 9 events; the extension made log records, spans and data points of them. "
        "Ledger: received 9 delivered 9 held 0 dropped 0.",
        "platform.runtimeDone{}spans: orders, initmetric: faas.errors",
        "function<raw>log record: items reserved",
        "part of the span that a later event ends",
        "most of 2",
        "full height: 128 MB",
    ],
)
def test_page_says(text: str) -> None:
    assert text in Document(drawn()).text


def test_bars_and_dots_are_where_they_were_in_time() -> None:
    html = drawn()

    assert 'class="row span init" style="--depth:1;--left:0.000%;--width:80.000%"' in html
    assert 'class="row span function" style="--depth:1;--left:88.000%;--width:6.000%"' in html
    assert 'class="row line info" style="--depth:1;--left:88.000%;--width:0.000%"' in html
    assert 'class="row line error" style="--depth:1;--left:90.000%;--width:0.000%"' in html


def test_every_kind_has_its_colour_in_both_schemes_and_in_print() -> None:
    html = drawn()

    assert {kind: len(re.findall(rf"--{kind}: #", html)) for kind in KINDS} == dict.fromkeys(KINDS, 3)
    assert all(f".{kind} {{ --colour: var(--{kind}); }}" in html for kind in KINDS)


def test_verdict_names_what_did_not_arrive() -> None:
    html = page.draw(story.read(MESSAGES), SCENES, {}, WRONG_BOOKS, [])

    assert "Not everything arrived: log records: received 3, delivered 2" in Document(html).text
    assert "Everything arrived" not in html


def test_page_of_a_moment_without_a_length_can_be_drawn() -> None:
    messages = [invocation_span(1, at=(5, 5)), histogram("faas.mem_usage", [0.0], "By")]

    html = page.draw(story.read(messages), {}, measurements.read(messages), BOOKS, [])

    assert problems(html) == []
