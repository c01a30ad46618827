"""A line names its durable execution as Lambda's SDKs for JavaScript, Python and Java write it."""

from typing import Any

import pytest

from telemetry_forwarder.invocations.durable import find_execution

EXECUTION = "order-7/1f0c6d1e-7c1b-3e0a-9a3f-0c0f3b0a1b2c"
ARN = f"arn:aws:lambda:eu-west-1:111122223333:function:orders:7/durable-execution/{EXECUTION}"


@pytest.mark.parametrize(
    "attributes",
    [
        {"executionArn": ARN, "operationId": "1-2"},
        {"durableExecutionArn": ARN},
        {"executionArn": ARN.replace("orders:7", "orders:$LATEST")},
        {"mdc": {"durableExecutionArn": ARN, "operationName": "charge"}},
        {"contextMap": {"durableExecutionArn": ARN}},
        {"executionArn": ARN.replace("arn:aws:", "arn:aws-us-gov:")},
    ],
)
def test_execution_is_found(attributes: dict[str, Any]) -> None:
    assert find_execution(attributes, "orders") == EXECUTION


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"executionArn": ""},
        {"executionArn": 5},
        {"executionArn": [ARN]},
        # Step Functions', another function's, and other texts.
        {"executionArn": "arn:aws:states:eu-west-1:111122223333:execution:orders:7"},
        {"executionArn": ARN.replace("orders", "carts")},
        {"executionArn": ARN + "/more"},
        {"executionArn": ARN.removesuffix(EXECUTION)},
        {"executionArn": "x" * 100_000},
        {"mdc": "durableExecutionArn"},
        {"mdc": {}},
        {"contextMap": {"durableExecutionArn": None}},
    ],
)
def test_other_lines_name_none(attributes: dict[str, Any]) -> None:
    assert find_execution(attributes, "orders") == ""
