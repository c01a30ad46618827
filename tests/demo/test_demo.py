"""`./build.sh demo` as a whole: real processes, a real receiver, and the page in a real browser."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from html import escape
from pathlib import Path

import pytest

from tests.demo.__main__ import PAGE
from tests.demo.scenes import SCENES
from tests.demo.test_page import Document, problems
from tests.support.collector import FakeCollector, Response
from tests.support.otlp_messages import LOGS, METRICS, SPANS
from tests.support.paths import PROJECT

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
COMMAND = [sys.executable, "-m", "tests.demo"]
LEDGER = re.compile(r"ledger: received (\d+) delivered (\d+) held (\d+) dropped (\d+)")
OUTCOMES = [
    r"✓ succeeded in [\d.]+ m?s",
    r"✓ succeeded in [\d.]+ m?s",
    r"✓ succeeded in 1\.\d\d s",
    r"✗ failed after [\d.]+ m?s: CardDeclinedError",
    r"✗ timed out after [3-9]\.\d\d s",
    r"✓ succeeded in [\d.]+ m?s",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    """Run the demo to its end, without a terminal."""
    return subprocess.run(
        [*COMMAND, *options], cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def outcome(opt: Path) -> "tuple[subprocess.CompletedProcess[str], str]":
    """Run the demo once; return what it printed, and the page that it wrote."""
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    return done, PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def demo(outcome: "tuple[subprocess.CompletedProcess[str], str]") -> "subprocess.CompletedProcess[str]":
    return outcome[0]


@pytest.fixture(scope="module")
def html(outcome: "tuple[subprocess.CompletedProcess[str], str]") -> str:
    return outcome[1]


def test_receiver_has_everything_and_the_last_line_says_so(demo: "subprocess.CompletedProcess[str]") -> None:
    assert (demo.returncode, demo.stderr) == (0, "")
    totals = LEDGER.fullmatch(demo.stdout.splitlines()[-1])
    assert totals
    received, delivered, held, dropped = map(int, totals.groups())
    assert "as service orders: ./build.sh demo --endpoint URL" in demo.stdout
    assert received == delivered > 100
    assert (held, dropped) == (0, 0)


def test_each_invocation_is_shown_with_its_outcome(demo: "subprocess.CompletedProcess[str]") -> None:
    headings = [line for line in demo.stdout.splitlines() if re.search("[✓✗]", line)]

    assert len(headings) == len(SCENES)
    for number, (line, scene, outcome) in enumerate(zip(headings, SCENES, OUTCOMES, strict=True), 1):
        assert re.fullmatch(rf"{number}  {re.escape(scene.title)} +{outcome}", line), line


def test_text_and_json_lines_are_in_their_invocation(demo: "subprocess.CompletedProcess[str]") -> None:
    parts = re.split(r"^\d  .*[✓✗].*$", demo.stdout, flags=re.MULTILINE)[1:]

    assert len(parts) == len(SCENES)
    for part, scene in zip(parts, SCENES, strict=True):
        order = scene.order["id"]
        assert f"order {order} received" in part
        assert f"items reserved  order={order}  items={scene.order['items']}" in part
        assert set(re.findall(r"order[ =](\d+)", part)) == {str(order)}
    assert [part.count("price list loaded") for part in parts] == [1, 0, 0, 0, 0, 1]
    assert [part.count("the bank has not answered yet") for part in parts] == [0, 0, 1, 0, 1, 0]
    assert [len(re.findall("^ +WARNING .*the bank", part, re.MULTILINE)) for part in parts] == [0, 0, 1, 0, 1, 0]
    assert "no invocation" not in demo.stdout


def test_spans_of_an_invocation_form_one_tree_and_short_ids_differ(
    demo: "subprocess.CompletedProcess[str]", html: str
) -> None:
    ids = re.findall(r"^   trace …(\w+)", demo.stdout, re.MULTILINE)
    sections = html.split('<section class="invocation"')[1:]

    assert len(set(ids)) == len(sections) == len(SCENES)
    assert [section.count("--depth:0;") for section in sections] == [1] * len(SCENES)


def test_without_a_terminal_there_are_no_colours(demo: "subprocess.CompletedProcess[str]") -> None:
    assert "\x1b" not in demo.stdout


def test_page_of_a_run_is_well_formed_and_says_the_same(demo: "subprocess.CompletedProcess[str]", html: str) -> None:
    assert problems(html) == []
    text = Document(html).text
    assert demo.stdout.splitlines()[-1].capitalize() in text
    for scene in SCENES:
        assert scene.title in text


def test_events_became_what_arrived(html: str) -> None:
    """The table of events converts them once more; the waterfalls show what the receiver has."""
    waterfalls, _, events = html.partition("What each Lambda event became")
    lines = re.findall(r'<div class="row line', waterfalls)
    spans = Counter(re.findall(r'<div class="row span [^>]*><span class="name">([^<]*)<', waterfalls))

    made = re.findall(r"spans?: (.*?)(?:<br>|</td>)", events)
    assert Counter(name for each in made for name in re.findall("<code>(.*?)</code>", each)) == spans
    assert events.count("log record: ") == len(lines)


def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)} (Debian: apt-get install chromium)")
    return found


# Written into the frame of the page: what the browser made of it.
MEASURE = """
const root = document.querySelector("iframe").contentDocument;
const outside = [...root.querySelectorAll(".axis i")].filter(mark => {
  const bar = mark.getBoundingClientRect(), axis = mark.parentElement.getBoundingClientRect();
  return bar.left < axis.left - 6 || bar.right > axis.right + 6 || bar.width < 1 || bar.height < 1;
});
document.title = JSON.stringify({
  overflow: root.documentElement.scrollWidth - root.documentElement.clientWidth,
  invocations: [...root.querySelectorAll(".invocation")].filter(each => each.offsetHeight > 100).length,
  outside: outside.length,
  narrow: [...root.querySelectorAll(".row .text")].filter(each => each.offsetHeight && each.offsetWidth < 150).length,
  charts: root.querySelectorAll("figure").length,
  cut: [...root.querySelectorAll(".wide")].filter(each => each.scrollWidth > each.clientWidth).length,
  colour: getComputedStyle(root.body).backgroundColor,
});
"""


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize(("scheme", "colour"), [("1", "rgb(255, 255, 255)"), ("0", "rgb(20, 23, 26)")])
def test_browser_shows_the_page(html: str, tmp_path: Path, width: int, scheme: str, colour: str) -> None:
    file = tmp_path / "frame.html"
    frame = f'<iframe style="width:{width}px;height:4000px;border:0" srcdoc="{escape(html)}"></iframe>'
    file.write_text(f"<!doctype html><body>{frame}<script>onload = () => {{ {MEASURE} }}</script>", encoding="utf-8")
    command = [browser(), "--headless", "--disable-gpu", f"--user-data-dir={tmp_path}", "--window-size=1300,4100"]
    command += [f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=5000", "--dump-dom"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")

    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, check=False)

    title = re.search("<title>(.*?)</title>", done.stdout)
    assert title, done.stderr
    assert json.loads(title[1]) == {
        "overflow": 0,
        "invocations": len(SCENES),
        "outside": 0,
        "narrow": 0,
        "charts": 6,
        "cut": 0,
        "colour": colour,
    }


def test_own_back_end_gets_the_same(opt: Path, collector: FakeCollector) -> None:
    done = run("--endpoint", collector.endpoint, "--header", "api-key=a,b=c", "--header", "tenant=7")

    arrived = sum(collector.accepted(path) for path in (LOGS, SPANS, METRICS))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f"ledger: received {arrived} delivered {arrived} held 0 dropped 0"
    assert f"sending to {collector.endpoint}" in done.stdout
    assert {(request.headers.get("api-key"), request.headers.get("tenant")) for request in collector.requests} == {
        ("a,b=c", "7")
    }


def test_everything_runs_until_ctrl_c(opt: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        # As shells do with what runs in the background.
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *COMMAND, "--keep"],
        cwd=PROJECT,
        env={**ENVIRONMENT, "TERM": "xterm"},
        stdin=subprocess.PIPE,
        stdout=theirs,
        process_group=0,
    ) as process:
        os.close(theirs)
        output = read_until(ours, "Everything is still running")
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        output += read_until(ours, "another order was taken")
        # To all processes of the group, as a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        output += read_until(ours, "")
        os.close(ours)

    assert process.returncode == 0, output
    assert re.search(r"ledger: received (\d+) delivered \1 held 0 dropped 0", output)
    assert output.count("The first order: a cold start") == 2  # When it begins, and when it is shown.
    shown_at_the_end = output.partition("another order was taken")[2]
    assert "7  Another order" in shown_at_the_end
    assert "order 1007 received" in shown_at_the_end
    assert "\x1b[1m" in output


def read_until(descriptor: int, wanted: str) -> str:
    """Read the terminal until *wanted* has come; with an empty one until the end."""
    output = b""
    while not wanted or wanted.encode() not in output:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux: the other side is closed.
            chunk = b""
        if not chunk:
            assert not wanted, output.decode()
            break
        output += chunk
    return output.decode()


def test_back_end_that_refuses_fails_the_demo(opt: Path, collector: FakeCollector) -> None:
    collector.script(then=Response(status=401, path=LOGS))

    done = run("--endpoint", collector.endpoint)

    assert done.returncode == 1
    assert "not delivered: log records: received 25, delivered 0" in done.stdout
    assert re.search(r"The extension logged:\n  .*401", done.stdout)
    assert LEDGER.fullmatch(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--endpiont", "http://127.0.0.1"], "unrecognized arguments"),
        (["--end", "http://127.0.0.1"], "unrecognized arguments"),
        (["now"], "unrecognized arguments: now"),
        (["--endpoint"], "expected one argument"),
        (["--endpoint", "otlp.example.com"], "does not begin with http:// or https://"),
        (["--header", "api-key=secret"], "--header needs --endpoint"),
        (["--endpoint", "http://127.0.0.1", "--header", "secret"], "is not KEY=VALUE"),
        (["--endpoint", "http://127.0.0.1", "--header", "=secret"], "is not KEY=VALUE"),
    ],
)
def test_wrong_options_are_errors(options: list[str], problem: str) -> None:
    done = run(*options)

    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr


def test_help_runs_nothing() -> None:
    done = run("--help")

    assert done.returncode == 0
    assert all(
        option in done.stdout for option in ("--endpoint URL", "--header KEY=VALUE", "--keep", "build/demo.html")
    )
    assert "invocation 1" not in done.stdout
