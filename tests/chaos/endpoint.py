"""Scenarios in which the endpoint fails."""

from contextlib import ExitStack, suppress

from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.support.addresses import name_of_both_loopbacks, unresponsive
from tests.support.collector import Hang, HangUp, Raw, Response, When
from tests.support.otlp_messages import LOGS


def _down(run: Run) -> None:
    run.collector.refuse()
    with run.environment():
        for _ in range(run.random.randint(2, 6)):
            run.invoke()


def _down_then_up(run: Run) -> None:
    run.collector.refuse()
    with run.environment():
        for _ in range(run.random.randint(1, 4)):
            run.invoke()
        run.collector.listen()
        for _ in range(run.random.randint(1, 4)):
            run.invoke(sleep=0.1)


def _hangs(run: Run) -> None:
    when = run.random.choice([When.BEFORE_BODY, When.AFTER_BODY])
    run.collector.script(then=Hang(when=when, accepts=False))
    with run.environment():
        for _ in range(3):
            run.invoke()


def _hangs_for_a_while(run: Run) -> None:
    run.collector.script(*[Hang(accepts=run.random.random() < 0.5)] * run.random.randint(1, 4))
    with run.environment():
        for _ in range(4):
            run.invoke(sleep=0.1)


def _resets(run: Run) -> None:
    faults = [
        HangUp(when=run.random.choice(list(When)), resets=run.random.random() < 0.7, accepts=run.random.random() < 0.2)
        for _ in range(run.random.randint(3, 10))
    ]
    run.collector.script(*faults)
    with run.environment():
        for _ in range(5):
            run.invoke(sleep=0.05)


def _busy(run: Run) -> None:
    busy = Response(status=503, headers={"Retry-After": "1"})
    run.collector.script(*[busy] * run.random.randint(1, 8))
    with run.environment():
        for _ in range(3):
            run.invoke(sleep=0.4)


def _slow(after_s: float, run: Run) -> None:
    run.collector.script(then=Response(after_s=after_s))
    with run.environment():
        for _ in range(4):
            run.invoke(sleep=run.random.random() * 0.3)


def _partial(run: Run) -> None:
    rejecting = [Response(rejected=run.random.randint(0, 3), message="no room for all", path=LOGS) for _ in range(5)]
    run.collector.script(*rejecting)
    with run.environment():
        for _ in range(4):
            run.invoke(lines=run.random.randint(4, 20))


def _too_large(run: Run) -> None:
    run.collector.limit_bytes = run.random.randint(2_000, 20_000)
    with run.environment():
        for _ in range(3):
            run.invoke(lines=run.random.randint(50, 300))


# The heads and bodies of pages that a login, a proxy or another service sends, and of responses that are no OTLP.
_PAGES = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 12\r\n\r\n<html>Log in",
    b"HTTP/1.1 202 Accepted\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\nLog in",
    b"HTTP/1.0 200 OK\r\n\r\n<!doctype html>",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 6\r\n\r\n<html>",
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"error":"log in"}',
)


def _page_then_collector(run: Run) -> None:
    run.collector.script(then=Raw(data=run.random.choice(_PAGES)))
    with run.environment():
        for _ in range(run.random.randint(1, 3)):
            run.invoke()
        if run.random.random() < 0.5:
            run.collector.script()
            run.invoke(sleep=0.1)


def _closed_in_freeze(run: Run) -> None:
    with run.environment():
        for _ in range(6):
            run.invoke()
            run.collector.drop_connections()


def _up_at_the_end(run: Run) -> None:
    """Let the endpoint accept connections again only when the environment is about to be removed."""
    run.collector.refuse()
    with run.environment():
        # As long as other clients would need to double their pauses a few times.
        for _ in range(run.random.randint(4, 5)):
            run.invoke(sleep=1.5)
        run.collector.listen()
    assert not run.on_disk()


def _silenced(run: Run) -> None:
    """Let every kept connection die without a FIN or RST, as in a NAT gateway that forgets it."""
    with run.environment({"TELEMETRY_FORWARDER_TIMEOUT": "800"}):
        run.invoke()
        run.collector.silence_connections()
        for _ in range(3):
            run.invoke(sleep=1.0)
    assert not run.on_disk()


def _proxies(run: Run) -> None:
    """Set proxies that refuse connections under all names: loopback is never reached through one."""
    names = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    with run.environment(dict.fromkeys(names, "http://127.0.0.1:1") | {"GRPC_VERBOSITY": "debug"}) as function:
        for _ in range(3):
            run.invoke()
    assert run.collector.connections
    # Others would come back as telemetry.
    assert all(line.startswith("[telemetry-forwarder]") for line in function.extension_output)


def _dead_address(run: Run) -> None:
    """Let the first address of the endpoint's name be behind a firewall."""
    with ExitStack() as stack:
        name = stack.enter_context(name_of_both_loopbacks())
        # Some systems have no IPv6.
        with suppress(OSError):
            stack.enter_context(unresponsive(("::1", run.collector.port)))
        with run.environment({"TELEMETRY_FORWARDER_ENDPOINT": f"http://{name}:{run.collector.port}"}):
            for _ in range(run.random.randint(1, 3)):
                run.invoke()
                if run.random.random() < 0.5:
                    run.collector.drop_connections()
    assert not run.on_disk()


_FOR_BOTH = (
    Scenario("down", "the endpoint refuses all connections", _down),
    Scenario("down then up", "the endpoint refuses connections, then accepts them again", _down_then_up),
    Scenario("hangs", "the endpoint accepts requests and never responds", _hangs),
    Scenario(
        "hangs for a while", "some requests get no response, although some of them are accepted", _hangs_for_a_while
    ),
    Scenario("resets", "connections break before, during and after requests, some of which are accepted", _resets),
    Scenario("503", "the endpoint is busy, Retry-After 1 s", _busy),
    Scenario("slow 300 ms", "every response takes 300 ms", lambda run: _slow(0.3, run)),
    Scenario(
        "slow 1 s",
        "every response takes 1 s, longer than the budget",
        lambda run: _slow(1.0, run),
        is_cut_at_the_end=True,
    ),
    Scenario("partial success", "some log records are rejected", _partial, frozenset({"rejected"})),
    Scenario("413", "the endpoint accepts only small requests", _too_large),
    Scenario("web page", "a web page or another API responds with 200, throughout or at first", _page_then_collector),
    Scenario("dead address", "the first of the endpoint's two addresses never responds", _dead_address),
    Scenario("closed in freeze", "every kept connection is closed while the environment is frozen", _closed_in_freeze),
    Scenario("up at the end", "the endpoint accepts connections again just before spindown", _up_at_the_end),
    Scenario("proxies", "all variables name a proxy that refuses connections", _proxies),
    Scenario("silenced", "every kept connection dies silently", _silenced),
)
ENDPOINT = (*_FOR_BOTH, *(each.over_grpc() for each in _FOR_BOTH))
