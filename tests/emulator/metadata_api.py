"""The metadata endpoint: where the environment runs, for runtime and extensions.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-metadata-endpoint.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .server import Reply, Request, Route

if TYPE_CHECKING:
    from .sandbox import Sandbox

ZONE_ID = "euw1-az2"
_PATH = re.compile("/2026-01-15/metadata/execution-environment")


class MetadataApi:
    """The route. All state is in the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [("GET", _PATH, self._execution_environment)]

    def _execution_environment(self, request: Request) -> Reply:
        if request.headers.get("Authorization") != f"Bearer {self._sandbox.metadata_token}":
            return Reply.error(401, "Unauthorized", "The token is missing or wrong")
        return Reply(200, {"AvailabilityZoneID": ZONE_ID})
