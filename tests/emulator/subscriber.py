"""One extension's subscription: buffer, timer, retries and losses."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from .clock import SandboxClock
from .destination import Address, Destination
from .observations import Dropped, Event, Observations, Post
from .settings import Settings

_SLOW = "Some logs were dropped because the downstream consumer is slower than the logs production rate"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A validated subscribe request, completed with Lambda's defaults."""

    schema: str
    address: Address
    types: tuple[str, ...]
    max_items: int = 10_000
    max_bytes: int = 262_144
    timeout_s: float = 1.0


class Fragment(NamedTuple):
    """Bytes of an event as they are sent. Of a cut record, only the last fragment has the *event*."""

    payload: bytes
    event: Event | None
    ends_batch: bool = False


class Subscriber:
    """Buffers events and delivers them on a thread of its own until `close`."""

    def __init__(
        self,
        name: str,
        subscription: Subscription,
        *,
        settings: Settings,
        clock: SandboxClock,
        observed: Observations,
        announce: Callable[[str, Event], Event],
    ) -> None:
        self.name, self.subscription = name, subscription
        self._settings, self._clock, self._observed = settings, clock, observed
        self._announce = announce
        self._fragments: deque[Fragment] = deque()
        self._held_bytes = self._buffered_bytes = self._batch_ends = 0
        self._due_s: float | None = None
        self._is_flushing = self._is_closed = self._is_sending = False
        self._lost_bytes: list[int] = []
        self._sent_batches = 0
        self._changed = threading.Condition()
        self._destination = Destination(subscription.address, clock, settings.post_timeout_s, lambda: self._is_closed)
        self._thread = threading.Thread(target=self._run, name=f"telemetry-{name}")
        self._thread.start()

    def accepts(self, category: str) -> bool:
        return category in self.subscription.types

    def add(self, events: Sequence[Sequence[Fragment]]) -> None:
        """Buffer events, each as its fragments, or drop and count those for which there is no room."""
        with self._changed:
            for fragments in events:
                size = sum([len(fragment.payload) for fragment in fragments])
                event = fragments[-1].event
                assert event is not None
                if self._is_closed:
                    self._observed.add("dropped", Dropped(self.name, event, "the subscription has ended"))
                elif self._held_bytes + size > self._settings.backlog_bytes:
                    self._lost_bytes.append(size)
                    self._observed.add("dropped", Dropped(self.name, event, "buffer overflow"))
                else:
                    self._push(fragments, size)

    def flush(self) -> None:
        """Send what is buffered without waiting for the timer, as Lambda does when an input stream closes."""
        with self._changed:
            self._is_flushing = bool(self._fragments)
            self._changed.notify_all()

    def wake(self) -> None:
        """Check the timer again: the clock was resumed."""
        with self._changed:
            self._changed.notify_all()

    def wait_until_idle(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._fragments and not self._is_sending, timeout_s)

    def close(self) -> None:
        """End the subscription and drop what was not delivered."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        self._destination.close()
        left = [Dropped(self.name, p.event, "the environment ended") for p in self._fragments if p.event]
        self._fragments.clear()
        self._observed.add("dropped", *left)

    def _push(self, fragments: Sequence[Fragment], size: int) -> None:
        if not self._fragments:
            self._due_s = self._clock.now() + self.subscription.timeout_s
        self._fragments.extend(fragments)
        self._held_bytes += size
        self._buffered_bytes += size
        self._batch_ends += sum([fragment.ends_batch for fragment in fragments])
        if len(self._fragments) == len(fragments) or self._is_full():
            self._changed.notify_all()

    def _is_full(self) -> bool:
        limits = self.subscription
        return (
            len(self._fragments) >= limits.max_items or self._buffered_bytes >= limits.max_bytes or self._batch_ends > 0
        )

    def _run(self) -> None:
        while batch := self._next_batch():
            if self._deliver(batch):
                self._finish(batch)
            else:
                with self._changed:
                    self._fragments.extendleft(reversed(batch))
                    self._is_sending = False
                    return

    def _next_batch(self) -> list[Fragment]:
        """Wait until a batch is due and return it; return an empty one when the subscription has ended."""
        with self._changed:
            while not self._is_closed:
                wait_s = None
                if self._fragments and not self._clock.is_stopped:
                    assert self._due_s is not None
                    wait_s = self._due_s - self._clock.now()
                    if wait_s <= 0 or self._is_flushing or self._is_full():
                        return self._take_batch()
                self._changed.wait(wait_s)
            return []

    def _take_batch(self) -> list[Fragment]:
        batch: list[Fragment] = []
        size = 0
        while self._fragments and len(batch) < self.subscription.max_items and size < self.subscription.max_bytes:
            fragment = self._fragments.popleft()
            batch.append(fragment)
            size += len(fragment.payload)
            if fragment.ends_batch:
                self._batch_ends -= 1
                break
        self._buffered_bytes -= size
        self._is_sending = True
        if self._fragments:
            self._due_s = self._clock.now() + self.subscription.timeout_s
        else:
            self._is_flushing = False
        return batch

    def _deliver(self, batch: list[Fragment]) -> bool:
        """Send until it is accepted, with back-off; return False if the subscription ended before."""
        backoff_s = self._settings.redelivery_first_s
        attempt = 0
        while not self._is_closed:
            attempt += 1
            if self._send(batch, attempt):
                self._sent_batches += 1
                every = self._settings.redeliver_every
                if every and self._sent_batches % every == 0:
                    self._send(batch, attempt + 1)
                return True
            self._pause(backoff_s)
            backoff_s = min(backoff_s * 2, self._settings.redelivery_most_s)
        return False

    def _send(self, batch: list[Fragment], attempt: int) -> bool:
        payloads = [fragment.payload for fragment in batch]
        at_s = time.monotonic()
        status = self._destination.send(payloads)
        size = sum(map(len, payloads)) + len(payloads) + 1
        self._observed.add("posts", Post(self.name, status, len(batch), size, at_s, attempt))
        return status is not None and (status == 0 or 200 <= status < 300)

    def _pause(self, seconds: float) -> None:
        ends_s = self._clock.now() + seconds
        with self._changed:
            while not self._is_closed and (self._clock.is_stopped or self._clock.now() < ends_s):
                self._changed.wait(None if self._clock.is_stopped else ends_s - self._clock.now())

    def _finish(self, batch: list[Fragment]) -> None:
        self._observed.add("delivered", *[fragment.event for fragment in batch if fragment.event is not None])
        with self._changed:
            self._held_bytes -= sum(len(fragment.payload) for fragment in batch)
            self._is_sending = False
            lost_bytes, self._lost_bytes = self._lost_bytes, []
            self._changed.notify_all()
        if lost_bytes and self.accepts("platform"):
            record = {"droppedBytes": sum(lost_bytes), "droppedRecords": len(lost_bytes), "reason": _SLOW}
            event = self._announce("platform.logsDropped", record)
            with self._changed:
                payload = orjson.dumps(event)
                self._push([Fragment(payload, event)], len(payload))
