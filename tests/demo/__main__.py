"""Runs a real function and the extension in a local Lambda, and shows the telemetry that a receiver gets.

Draws each invocation with its log lines, then the metrics and the totals, and writes build/demo.html. The exit status
is 0 only if the receiver has everything that the extension counts.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from tests.demo.books import Books
    from tests.demo.run import Run

PAGE = PROJECT / "build" / "demo.html"
_INTERRUPTED = 128 + signal.SIGINT


def main() -> int:
    """Run the demo; return its exit status."""
    arguments = _arguments()
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    # SIGTERM ends the processes, too, and a shell may have switched SIGINT off.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    print("A Lambda function, this extension next to it, and a receiver of OpenTelemetry data:")
    try:
        return _demo(arguments.endpoint, dict(arguments.header), keeps=arguments.keep)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _demo(url: str | None, headers: Mapping[str, str], *, keeps: bool) -> int:
    # Imported after the first line: this takes a moment.
    from tests.demo.back_end import Relay, receiver
    from tests.demo.run import running
    from tests.support.opt_tree import assemble

    _step("assembling the extension in build/opt")
    opt = assemble()
    with Relay(url) if url else receiver() as back_end:
        _step(f"sending to {back_end.name}")
        _step("starting the function and the extension")
        with running(opt, back_end, headers) as run:
            run.play(lambda scene: _step(f"invocation {scene}"))
            shown = 0
            if keeps:
                shown = _show_invocations(run)
                _keep(run)
            _step("ending the environment")
            books = run.end()
        _show_invocations(run, after=shown)
        _show_totals(run, books)
    return 1 if books.problems else 0


def _step(text: str) -> None:
    print(f"  {text}", flush=True)


def _show_invocations(run: "Run", *, after: int = 0) -> int:
    """Print the invocations that come *after* those already shown; return how many have been shown then."""
    from tests.demo import story, terminal

    shown = story.read(run.messages)
    if len(shown.invocations) > after:
        print("", *terminal.of(sys.stdout, os.environ).invocations(shown, run.scenes, after=after), sep="\n")
    return len(shown.invocations)


def _show_totals(run: "Run", books: "Books") -> None:
    """Print metrics and totals, and write the page; the last line is the ledger's."""
    from tests.demo import events, measurements, page, story, terminal

    messages = run.messages
    metrics = measurements.read(messages)
    PAGE.parent.mkdir(exist_ok=True)
    drawn = page.draw(story.read(messages), run.scenes, metrics, books, list(events.convert(run.events)))
    PAGE.write_text(drawn, encoding="utf-8")
    text = terminal.of(sys.stdout, os.environ)
    print("", *text.metrics(metrics), "", sep="\n")
    for line in text.extension_lines(run.function.extension_output):
        print(line)
    print(f"The same as a page: {PAGE.relative_to(PROJECT)}")
    print("To your back end, as service orders: ./build.sh demo --endpoint URL --header KEY=VALUE")
    print("To your function: docs/install.md\n")
    print(*text.books(books), sep="\n")


def _keep(run: "Run") -> None:
    """Wait for Ctrl-C; take another order for each line of the standard input."""
    from tests.demo.scenes import ANOTHER

    print("\nEverything is still running. Enter: another order. Ctrl-C: the end, and the totals.")
    with suppress(KeyboardInterrupt):
        for _ in sys.stdin:
            run.invoke(ANOTHER)
            _step("another order was taken")
        signal.pause()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./build.sh demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--endpoint",
        type=_url,
        metavar="URL",
        help="send to this OTLP/HTTP endpoint, not to rotel; /v1/logs, /v1/traces and /v1/metrics are appended",
    )
    parser.add_argument(
        "--header",
        type=_header,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="send this header to --endpoint, for example an API key; may be repeated",
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    arguments = parser.parse_args()
    if arguments.header and not arguments.endpoint:
        parser.error("--header needs --endpoint")
    return arguments


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with http:// or https://")
    return text


def _header(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not (key and value):
        raise argparse.ArgumentTypeError(f"{key!r} is not KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
