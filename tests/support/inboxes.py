"""Taking items out of an inbox as the worker does."""

from telemetry_forwarder.receiver.inbox import Inbox
from telemetry_forwarder.receiver.messages import Item


def wait_and_take(inbox: Inbox, timeout_s: float | None = None) -> list[Item]:
    """Wait for an item, at most *timeout_s*, and take all."""
    inbox.wait(timeout_s)
    return inbox.take()
