"""Finds the durable execution that a log line belongs to. Pure; never raises.

One execution is many invocations. Lambda's events do not name it, but the lines of Lambda's SDKs for durable functions
do: https://github.com/aws/aws-durable-execution-sdk-js, https://github.com/aws/aws-durable-execution-sdk-python
"""

import re
from collections.abc import Mapping
from typing import Any

# https://docs.aws.amazon.com/lambda/latest/dg/durable-functions.html
_ARN = re.compile(
    r"arn:[^:]{1,40}:lambda:[^:]{1,40}:[^:]{1,40}:function:([^:/]{1,140}):[^:/]{1,140}"
    r"/durable-execution/([^/]{1,200}/[^/]{1,200})"
)


def find_execution(attributes: Mapping[str, Any], function_name: str) -> str:
    """Return `name/id` of the execution of a line with *attributes*; empty if it names none, or another function's."""
    # For many lines: plain look-ups cost less than a loop.
    arn = attributes.get("executionArn") or attributes.get("durableExecutionArn")
    if arn is None and ("mdc" in attributes or "contextMap" in attributes):
        context = attributes.get("mdc") or attributes.get("contextMap")
        arn = context.get("durableExecutionArn") if isinstance(context, dict) else None
    match = _ARN.fullmatch(arn) if isinstance(arn, str) else None
    return match[2] if match and match[1] == function_name else ""
