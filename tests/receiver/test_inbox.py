import threading

from hypothesis import given
from hypothesis import strategies as st

from telemetry_forwarder.clock import Deadline
from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Body, InvokeEvent, ShutdownEvent, SubscriptionResult
from tests.support.fake_clock import FakeClock
from tests.support.inboxes import wait_and_take
from tests.support.threads import LONG_S, in_threads, join

# The overhead that counts for each body.
OVERHEAD = 256


def body(size: int = 10) -> Body:
    return Body(b"x" * size, 0)


def invoked() -> InvokeEvent:
    return InvokeEvent("id", "arn", "", Deadline.after(3.0, FakeClock()))


def shut_down() -> ShutdownEvent:
    return ShutdownEvent("spindown", Deadline.after(2.0, FakeClock()))


def test_items_are_taken_once_and_in_order() -> None:
    inbox = Inbox(10_000)
    items: list[Body | InvokeEvent | ShutdownEvent | SubscriptionResult] = [
        SubscriptionResult(True),
        body(),
        invoked(),
        body(),
        shut_down(),
    ]

    for item in items:
        if isinstance(item, Body):
            assert inbox.put_body(item)
        else:
            inbox.put_event(item)

    assert inbox.take() == items
    assert inbox.take() == []


def test_body_at_the_bound_is_accepted_and_a_larger_one_refused_and_counted() -> None:
    inbox = Inbox(2 * (10 + OVERHEAD))

    taken = [inbox.put_body(body(10)), inbox.put_body(body(11)), inbox.put_body(body(10)), inbox.put_body(body(0))]

    assert taken == [True, False, True, False]
    assert [inbox.take_refusals(), inbox.take_refusals()] == [2, 0]


def test_body_that_was_refused_before_it_was_complete_is_counted() -> None:
    inbox = Inbox(100)

    inbox.note_refusal()

    assert inbox.take_refusals() == 1


def test_empty_inbox_accepts_a_body_larger_than_the_bound() -> None:
    inbox = Inbox(100)

    assert (inbox.put_body(body(1_000)), inbox.put_body(body(1))) == (True, False)


def test_taking_bodies_frees_their_room() -> None:
    inbox = Inbox(1_000)
    inbox.put_body(body(700))

    inbox.take()

    assert inbox.put_body(body(700))


def test_events_always_fit() -> None:
    inbox = Inbox(100)
    inbox.put_body(body(1_000))

    for _ in range(100):
        inbox.put_event(SubscriptionResult(True))

    assert len(inbox.take()) == 101


@given(st.lists(st.integers(0, 2_000) | st.none(), max_size=60), st.integers(1, 5_000))
def test_bound_holds_and_no_accepted_item_is_lost(sizes: list[int | None], bound: int) -> None:
    inbox = Inbox(bound)
    expected: list[object] = []
    taken: list[object] = []
    held: list[int] = []

    for size in sizes:
        if size is None:
            taken += inbox.take()
            held = []
        elif inbox.put_body(each := body(size)):
            expected.append(each)
            held.append(size + OVERHEAD)
            assert len(held) == 1 or sum(held) <= bound
        else:
            assert held
            assert sum(held) + size + OVERHEAD > bound

    assert taken + inbox.take() == expected


def test_take_waits_for_a_body() -> None:
    inbox = Inbox(1_000)
    taken: list[object] = []
    threads = in_threads(1, lambda: taken.extend(wait_and_take(inbox)))

    item = body()
    inbox.put_body(item)
    join(threads)

    assert taken == [item]


def test_take_waits_for_an_event() -> None:
    inbox = Inbox(1_000)
    taken: list[object] = []
    threads = in_threads(1, lambda: taken.extend(wait_and_take(inbox, LONG_S)))

    inbox.put_event(event := invoked())
    join(threads)

    assert taken == [event]


def test_take_waits_again_after_an_item_was_taken_without_waiting() -> None:
    inbox = Inbox(1_000)
    inbox.put_event(first := invoked())
    assert inbox.take() == [first]
    taken: list[object] = []
    threads = in_threads(1, lambda: taken.append(wait_and_take(inbox, LONG_S)))
    threads[0].join(0.02)

    inbox.put_event(second := invoked())
    join(threads)

    assert taken == [[second]]


def test_take_returns_nothing_after_its_timeout() -> None:
    assert wait_and_take(Inbox(1_000), 0.001) == []


def test_blocking_put_waits_for_room() -> None:
    inbox = Inbox(1_000)
    inbox.put_body(first := body(700))
    second = body(600)
    has_started, is_done = threading.Event(), threading.Event()

    def send() -> None:
        has_started.set()
        inbox.put_body_blocking(second)
        is_done.set()

    threads = in_threads(1, send)
    has_started.wait()
    assert not is_done.wait(0.02)
    assert wait_and_take(inbox) == [first]
    join(threads)

    assert inbox.take() == [second]
    assert inbox.take_refusals() == 0


def test_blocking_put_does_not_wait_if_there_is_room() -> None:
    inbox = Inbox(1_000)

    inbox.put_body_blocking(item := body())

    assert inbox.take() == [item]


def test_bodies_of_many_threads_are_all_taken() -> None:
    inbox = Inbox(2_000)

    def send() -> None:
        for _ in range(50):
            inbox.put_body_blocking(body())

    senders = in_threads(4, send)

    taken = 0
    while taken < 200:
        taken += len(wait_and_take(inbox))

    join(senders)
    assert inbox.take() == []


def test_closed_inbox_refuses_bodies_and_keeps_its_items() -> None:
    inbox = Inbox(1_000)
    inbox.put_body(first := body())

    inbox.close()

    assert not inbox.put_body(body())
    inbox.put_body_blocking(body())
    assert inbox.take() == [first]


def test_closing_releases_a_thread_that_waits_for_room() -> None:
    inbox = Inbox(1_000)
    inbox.put_body(first := body(900))
    threads = in_threads(1, lambda: inbox.put_body_blocking(body(900)))

    inbox.close()

    join(threads)
    assert inbox.take() == [first]


def test_closing_releases_all_threads_that_wait_for_room() -> None:
    inbox = Inbox(1_000)
    inbox.put_body(body(900))
    threads = in_threads(4, lambda: inbox.put_body_blocking(body(900)))

    inbox.close()

    join(threads)
    assert len(inbox.take()) == 1


def test_take_releases_all_threads_that_it_frees_room_for() -> None:
    inbox = Inbox(1_000)
    inbox.put_body(body(900))
    threads = in_threads(3, lambda: inbox.put_body_blocking(body(10)))
    for thread in threads:
        thread.join(0.01)

    taken = wait_and_take(inbox, LONG_S)
    join(threads)

    assert len(taken + inbox.take()) == 4


def test_refusing_inbox_keeps_its_items_and_counts_the_refusals() -> None:
    inbox = Inbox(1_000)
    inbox.put_body(first := body())

    inbox.refuse()

    assert not inbox.put_body(body())
    assert inbox.take() == [first]
    # Although it is empty.
    assert not inbox.put_body(body())
    assert inbox.take_refusals() == 2


def test_body_that_cannot_be_refused_waits_until_a_refusing_inbox_is_closed() -> None:
    inbox = Inbox(1_000)
    inbox.refuse()
    threads = in_threads(1, lambda: inbox.put_body_blocking(body()))
    threads[0].join(0.05)
    assert threads[0].is_alive()

    inbox.close()

    join(threads)
    assert inbox.take() == []
    assert inbox.take_refusals() == 1
