"""The Extensions API: register, next, init/error, exit/error, with AWS's statuses and error types."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import orjson

from .server import HungUpError, Reply, Request, Route
from .settings import ACCOUNT_ID
from .state import Extension, Fault

if TYPE_CHECKING:
    from .sandbox import Sandbox

_PREFIX = "/2020-01-01/extension"
_MAX_EXTENSIONS = 10
_EVENTS = ("INVOKE", "SHUTDOWN")
_IDENTIFIER = "Lambda-Extension-Identifier"
_ERROR_TYPE = "Lambda-Extension-Function-Error-Type"
_MANAGED_ERROR_TYPE = re.compile(r"Extension\.[A-Z][a-zA-Z]+")


class ExtensionsApi:
    """The routes. All state is in the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [
            ("POST", re.compile(_PREFIX + "/register"), self._register),
            ("GET", re.compile(_PREFIX + "/event/next"), self._next),
            ("POST", re.compile(_PREFIX + "/(init|exit)/error"), self._error),
        ]

    def _register(self, request: Request) -> Reply:
        name = request.headers.get("Lambda-Extension-Name", "")
        if not name:
            return Reply.error(403, "Extension.InvalidExtensionName", "Empty extension name")
        try:
            body = orjson.loads(request.body) if request.body else {}
            events = tuple(body.get("events") or ())
            if "configurationKeys" in body:
                raise ValueError("configurationKeys")
        except (ValueError, AttributeError, TypeError):
            return Reply.error(403, "InvalidRequestFormat", "Invalid request body")
        with self._sandbox.changed:
            refusal = self._refusal(name, events)
            if refusal:
                return refusal
            extension = self._sandbox.extensions.setdefault(name, Extension(name))
            extension.id, extension.events, extension.state = str(uuid.uuid4()), events, "Registered"
            self._sandbox.changed.notify_all()
        return self._registered(extension, request.headers.get("Lambda-Extension-Accept-Feature", ""))

    def _registered(self, extension: Extension, features: str) -> Reply:
        settings = self._sandbox.settings
        result = {"functionName": settings.name, "functionVersion": settings.version, "handler": settings.handler}
        if "accountId" in [feature.strip() for feature in features.split(",")]:
            result["accountId"] = ACCOUNT_ID
        assert extension.id is not None
        return Reply(200, result, {_IDENTIFIER: extension.id})

    def _refusal(self, name: str, events: tuple[str, ...]) -> Reply | None:
        known = self._sandbox.extensions.get(name)
        is_external = known is not None and known.is_external
        if self._sandbox.runtime.first_next_s is not None:
            return Reply.error(403, "Extension.RegistrationClosed", "Extension registration closed already")
        if known is not None and known.is_registered:
            return _wrong_state(known, "Registered")
        if known is None and len(self._sandbox.extensions) >= _MAX_EXTENSIONS:
            return Reply.error(403, "Extension.TooManyExtensions", "Extension limit (10) reached")
        for event in events:
            is_possible = event in _EVENTS and (is_external or event != "SHUTDOWN")
            if not is_possible or (event == "INVOKE" and self._sandbox.settings.is_managed):
                return Reply.error(403, "Extension.InvalidEventType", f"{event}: Invalid event type")
        return None

    def _next(self, request: Request) -> Reply:
        sandbox = self._sandbox
        with sandbox.changed:
            extension = identified(sandbox, request)
            if isinstance(extension, Reply):
                return extension
            if extension.state in ("InitError", "ExitError"):
                return _wrong_state(extension, "Ready")
            extension.turn += 1
            turn = extension.turn
            extension.has_called_next = extension.is_waiting = True
            extension.state = "Ready"
            sandbox.changed.notify_all()
            while not extension.queue:
                if sandbox.is_over or extension.turn != turn:
                    raise HungUpError
                sandbox.changed.wait()
            if extension.turn != turn:
                raise HungUpError
            extension.is_waiting = False
            event = extension.queue.popleft()
        headers = {"Lambda-Extension-Event-Identifier": str(uuid.uuid4())}
        is_invoke = event["eventType"] == "INVOKE"
        return Reply(200, event, headers if is_invoke else {}, summary=event["eventType"])

    def _error(self, request: Request, phase: str) -> Reply:
        sandbox = self._sandbox
        with sandbox.changed:
            extension = identified(sandbox, request)
            if isinstance(extension, Reply):
                return extension
            error_type = request.headers.get(_ERROR_TYPE)
            if not error_type:
                return Reply.error(403, "Extension.MissingHeader", f"{_ERROR_TYPE} not found")
            state, fallback = ("InitError", "Extension.InitError"), ("ExitError", "Extension.ExitError")
            new_state, managed_type = state if phase == "init" else fallback
            if extension.state == new_state:
                return Reply(202, {"status": "OK"})
            if phase == "init" and extension.state != "Registered":
                return _wrong_state(extension, new_state)
            if sandbox.settings.is_managed and not _MANAGED_ERROR_TYPE.fullmatch(error_type):
                error_type = managed_type
            extension.state, extension.error_type = new_state, error_type
            sandbox.fail(Fault("error", managed_type, f"{extension.name}: {error_type}", extension.name))
        return Reply(202, {"status": "OK"}, summary=error_type)


def identified(sandbox: Sandbox, request: Request) -> Extension | Reply:
    """Return the extension that sent *request*, or the error response."""
    identifier = request.headers.get(_IDENTIFIER)
    if not identifier:
        return Reply.error(403, "Extension.MissingExtensionIdentifier", f"Missing {_IDENTIFIER} header")
    try:
        uuid.UUID(identifier)
    except ValueError:
        return Reply.error(403, "Extension.InvalidExtensionIdentifier", f"Invalid {_IDENTIFIER}")
    for extension in sandbox.extensions.values():
        if extension.id == identifier:
            return extension
    return Reply.error(403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}")


def _wrong_state(extension: Extension, wanted: str) -> Reply:
    return Reply.error(
        403,
        "Extension.InvalidExtensionState",
        f"State transition from {extension.state} to {wanted} failed for extension {extension.name}."
        " Error: State transition is not allowed",
    )
