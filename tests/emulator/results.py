"""What an invocation returned to its caller."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson

from .settings import Settings
from .state import Fault, Invocation


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """What the caller of an invocation received, and how long it took."""

    request_id: str
    status: str
    """Lambda's word: success (also when the handler raised), error, timeout, failure."""
    payload: Any
    error_type: str | None
    response_s: float | None
    """From the call to the runtime's response; None without a response."""
    total_s: float
    """From the call until runtime and extensions were idle."""

    @property
    def is_success(self) -> bool:
        """Whether the handler returned and Lambda reported no error."""
        return self.status == "success" and self.error_type is None


def invocation_result(invocation: Invocation, fault: Fault | None, settings: Settings) -> InvocationResult:
    """Build the result of *invocation*, which ended now."""
    payload: Any = invocation.error
    if invocation.error is None and invocation.response is not None:
        try:
            payload = orjson.loads(invocation.response)
        except orjson.JSONDecodeError:
            payload = invocation.response
    error_type = invocation.error_type
    if fault is not None:
        failure = _failure(fault, settings, invocation.request_id)
        error_type = failure["errorType"]
        payload = failure if payload is None else payload
    responded_s = invocation.responded_s
    return InvocationResult(
        request_id=invocation.request_id,
        status=fault.status if fault else "success",
        payload=payload,
        error_type=error_type,
        response_s=None if responded_s is None else responded_s - invocation.started_s,
        total_s=time.monotonic() - invocation.started_s,
    )


def new_trace() -> str:
    """Return the trace header that Lambda generates if the caller sent none and tracing is off."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"


def _failure(fault: Fault, settings: Settings, request_id: str) -> dict[str, str]:
    if fault.status == "timeout":
        message = f"RequestId: {request_id} Error: Task timed out after {settings.timeout_s:.2f} seconds"
        return {"errorType": "Sandbox.Timedout", "errorMessage": message}
    return {
        "errorType": fault.error_type or "Sandbox.Failure",
        "errorMessage": f"RequestId: {request_id} Error: {fault.message}",
    }
