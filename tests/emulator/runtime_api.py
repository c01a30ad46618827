"""The Runtime API: next, response, error, init/error, and SnapStart's restore."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING

import orjson

from .server import HungUpError, Reply, Request, Route
from .state import Fault, Invocation

if TYPE_CHECKING:
    from .sandbox import Sandbox

_PREFIX = "/2018-06-01/runtime"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_OK = {"status": "OK"}


class RuntimeApi:
    """The routes. All state is in the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [
            ("GET", re.compile(_PREFIX + "/invocation/next"), self._next),
            ("POST", re.compile(_PREFIX + "/invocation/([^/]+)/(response|error)"), self._complete),
            ("POST", re.compile(_PREFIX + "/init/error"), self._init_error),
            ("GET", re.compile(_PREFIX + "/restore/next"), self._restore_next),
            ("POST", re.compile(_PREFIX + "/restore/error"), self._init_error),
            ("GET", re.compile("/2026-01-15/metadata/execution-environment"), _availability_zone),
            ("GET", re.compile("/2021-04-23/credentials"), _credentials),
        ]

    def _next(self, request: Request) -> Reply:
        sandbox = self._sandbox
        sandbox.output.pump()
        now = time.monotonic()
        with sandbox.changed:
            runtime = sandbox.runtime
            runtime.first_next_s = runtime.first_next_s or now
            runtime.waiting_workers += 1
            runtime.most_waiting_workers = max(runtime.most_waiting_workers, runtime.waiting_workers)
            if not sandbox.settings.is_managed:
                for invocation in runtime.running.values():
                    if invocation.is_responded:
                        invocation.runtime_done_s = invocation.runtime_done_s or now
            sandbox.changed.notify_all()
            try:
                invocation = self._wait_for_work(request)
            finally:
                runtime.waiting_workers -= 1
        return self._invocation_reply(invocation)

    def _wait_for_work(self, request: Request) -> Invocation:
        sandbox = self._sandbox
        while not sandbox.runtime.waiting:
            if sandbox.is_over:
                raise HungUpError
            sandbox.changed.wait()
        if not request.is_connected():
            # A worker that died must not take an invocation from those that live.
            sandbox.changed.notify_all()
            raise HungUpError
        return sandbox.runtime.waiting.popleft()

    def _invocation_reply(self, invocation: Invocation) -> Reply:
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self._sandbox.settings.arn,
            "Lambda-Runtime-Invocation-Id": str(uuid.uuid4()),
        }
        if invocation.trace is not None:
            headers["Lambda-Runtime-Trace-Id"] = invocation.trace
        return Reply(200, invocation.payload, headers, summary=invocation.request_id)

    def _complete(self, request: Request, request_id: str, kind: str) -> Reply:
        sandbox = self._sandbox
        sandbox.output.pump()
        with sandbox.changed:
            invocation = sandbox.runtime.running.get(request_id)
            if invocation is None or invocation.is_responded:
                return Reply.error(400, "InvalidRequestID", "Invalid request ID")
            if kind == "error":
                invocation.error = _json(request.body)
                invocation.error_type = request.headers.get(_ERROR_TYPE) or _error_type(invocation.error)
            else:
                invocation.response = request.body
                # A streamed response reports an error in a trailer.
                invocation.error_type = request.trailers.get(_ERROR_TYPE.lower())
            invocation.first_byte_s, invocation.last_byte_s = request.first_byte_s, request.last_byte_s
            invocation.responded_s = time.monotonic()
            sandbox.changed.notify_all()
        invocation.on_response()
        return Reply(202, _OK, summary=invocation.error_type)

    def _init_error(self, request: Request) -> Reply:
        sandbox = self._sandbox
        with sandbox.changed:
            if sandbox.runtime.first_next_s is not None:
                return Reply.error(403, "InvalidStateTransition", "State transition is not allowed")
            error_type = request.headers.get(_ERROR_TYPE) or "Function.Unknown"
            error = _json(request.body)
            message = error.get("errorMessage", "") if isinstance(error, dict) else ""
            sandbox.fail(Fault("error", error_type, message))
        return Reply(202, _OK, summary=error_type)

    def _restore_next(self, request: Request) -> Reply:
        sandbox = self._sandbox
        sandbox.output.pump()
        with sandbox.changed:
            sandbox.runtime.restore_requested_s = time.monotonic()
            sandbox.changed.notify_all()
            while not sandbox.runtime.may_restore:
                if sandbox.is_over:
                    raise HungUpError
                sandbox.changed.wait()
        return Reply(200, b"", summary="restore")


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def _error_type(error: object) -> str:
    found = error.get("errorType") if isinstance(error, dict) else None
    return found if isinstance(found, str) else "Function.Unknown"


def _availability_zone(request: Request) -> Reply:
    return Reply(200, {"AvailabilityZoneID": "euw1-az2"})


def _credentials(request: Request) -> Reply:
    credentials = {"AccessKeyId": "ASIAEMULATED", "SecretAccessKey": "emulated", "Token": "emulated"}
    return Reply(200, credentials | {"Expiration": "2099-01-01T00:00:00Z"})
