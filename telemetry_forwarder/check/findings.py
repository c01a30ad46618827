"""What a check finds, and the endpoint that it is about. Pure."""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from urllib.parse import urlsplit

from telemetry_forwarder.core.frozen import frozen
from telemetry_forwarder.endpoints.endpoint import GRPC, Endpoint
from telemetry_forwarder.endpoints.urls import host_and_port
from telemetry_forwarder.settings import PREFIX

# A part of a path that may be a token: some back ends have theirs in the URL.
_TOKEN = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{20,}")


class Verdict(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    """Nothing of this signal would be delivered."""


@frozen
class Finding:
    """The result of one stage of a check, in plain sentences without secrets."""

    stage: str
    verdict: Verdict
    text: str
    """What was tried and what came."""
    advice: str = ""
    """What to do; empty if there is nothing to do."""


@frozen
class Subject:
    """The endpoint of one signal, as a user knows it."""

    endpoint: Endpoint
    variables: Mapping[str, str]
    """The variable that sets each option; those that none sets are missing."""
    mask: Callable[[str], str]
    """Returns what a server wrote without secrets."""

    @property
    def signal(self) -> str:
        return self.endpoint.signal

    @property
    def is_grpc(self) -> bool:
        return self.endpoint.protocol == GRPC

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint.url).hostname or ""

    @property
    def shown_url(self) -> str:
        """The URL as it is requested, without what may be a secret in its path or its query."""
        url = urlsplit(self.endpoint.url)
        path = "/".join("***" if _TOKEN.fullmatch(part) else part for part in url.path.split("/"))
        shown = f"{url.scheme}://{host_and_port(url)}"
        return shown if self.is_grpc else f"{shown}{path}{'?***' if url.query else ''}"

    @property
    def headers(self) -> str:
        """The names of the user's headers."""
        return ", ".join(self.endpoint.headers) or "none"

    def variable(self, option: str) -> str:
        """Return the variable that sets *option*, or the one that would."""
        return self.variables.get(option, PREFIX + option)
