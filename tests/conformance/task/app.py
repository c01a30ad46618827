"""The function of the conformance tests; the event selects what it does."""

import json
import logging
import os
import sys
import time
from typing import Any

print("the module is loaded")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    for number in range(event.get("lines", 1)):
        # One write with the line end: workers of a managed instance share their standard output.
        sys.stdout.write(f"line {number} of {context.aws_request_id}\n")
        sys.stdout.flush()
    if "json" in event:
        sys.stdout.write(json.dumps(event["json"]) + "\n")
        sys.stdout.flush()
    if "log" in event:
        logging.getLogger().warning(event["log"])
    if "sleep_s" in event:
        time.sleep(event["sleep_s"])
    if "exits" in event:
        os._exit(event["exits"])
    if "raises" in event:
        raise ValueError(event["raises"])
    return {"event": event, "request_id": context.aws_request_id}
