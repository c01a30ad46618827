import pytest

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.receiver.end_watch import EndWatch
from telemetry_forwarder.receiver.messages import InvokeEvent
from tests.support.fake_clock import FakeClock
from tests.support.posts import event, post

ID = "8286a188-ba32-4475-8077-530cd35c09a9"
END_IN_A_LINE = f'{{"type":"platform.runtimeDone","record":{{"requestId":"{ID}"}}}}'


def invoke(request_id: str = ID) -> InvokeEvent:
    return InvokeEvent(request_id, "arn", "", Deadline.after(3.0, FakeClock()))


def end(request_id: str = ID) -> dict[str, object]:
    return event("platform.runtimeDone", {"requestId": request_id, "status": "success"})


@pytest.fixture
def watch() -> EndWatch:
    return EndWatch()


def expected(watch: EndWatch, request_id: str = ID) -> InvokeEvent:
    invoked = invoke(request_id)
    watch.expect(invoked)
    return invoked


@pytest.mark.parametrize(
    "content",
    [
        post(end()),
        post(*[event("function", f"line {number}") for number in range(5_000)], end(), event("function", "another")),
        post(end("another"), end()),
        post(event("platform.runtimeDone", {"metrics": {"durationMs": 1.5}, "spans": [{}], "requestId": ID})),
        b'[ {"time" : "", "type" : "platform.runtimeDone", "record" : {"requestId" : "%b"}} ]' % ID.encode(),
        b'{"time":"","type":"platform.runtimeDone","record":{"requestId":"%b"}}\n{"type":"function"' % ID.encode(),
        b'{"type":"function"}\n{"time":"","type":"platform.runtimeDone","record":{"requestId":"%b"}}' % ID.encode(),
    ],
    ids=["alone", "in a flood", "behind another", "other order", "with spaces", "lines", "last line"],
)
def test_end_of_the_invocation_is_found(watch: EndWatch, content: bytes) -> None:
    invoked = expected(watch)

    watch.search(content)

    assert invoked.has_ended
    assert invoked.changed.wait(0.0)
    assert not invoked.released.is_set()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        post(end("another")),
        post(event("platform.start", {"requestId": ID})),
        post(event("function", END_IN_A_LINE)),
        post(event("function", {"level": "INFO", "message": {"type": "platform.runtimeDone", "requestId": ID}})),
        post(event("function", {"type": "platform.runtimeDone", "record": {"requestId": ID}})),
        post(event("function", {"message": end()})),
        post(event("function", {"received": [end()]})),
        post(event("function", end())),
        b'[{"time":"","type":"platform.runtimeDone","record":{"requestId":"\xff\xfe"}}]',
        b'[{"time":"","type":"platform.runtimeDone","record":{"requestId":"' + b"x" * 100_000,
        b'{"time":"","type":"platform.runtimeDone","record":{' * 10_000,
    ],
    ids=[
        *("empty", "another", "start", "a line", "keys in an object", "type and record in an object"),
        *("event as a value", "event in a list", "event as a record", "no text", "long", "many"),
    ],
)
def test_nothing_else_is_the_end(watch: EndWatch, content: bytes) -> None:
    invoked = expected(watch)

    watch.search(content)

    assert not invoked.has_ended


def test_end_may_arrive_before_the_invocation(watch: EndWatch) -> None:
    watch.search(post(end()))

    assert expected(watch).has_ended


def test_retry_with_the_same_request_id_has_an_end_of_its_own(watch: EndWatch) -> None:
    watch.search(post(end()))

    first, second = expected(watch), expected(watch)
    before = second.has_ended
    watch.search(post(end()))

    assert (first.has_ended, before, second.has_ended) == (True, False, True)


def test_early_ends_are_bounded(watch: EndWatch) -> None:
    for number in range(100):
        watch.search(post(end(f"id {number}")))

    assert not expected(watch, "id 0").has_ended
    assert expected(watch, "id 99").has_ended
