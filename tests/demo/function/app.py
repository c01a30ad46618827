"""The function of the demo takes orders, and logs text and JSON. The order decides what happens."""

import json
import logging
import time
from typing import Any

Order = dict[str, Any]

logger = logging.getLogger()
logger.setLevel(logging.INFO)


class CardDeclinedError(Exception):
    """The bank refuses to pay."""


# At import, as functions load what they need. Lambda runs this in the init phase.
time.sleep(0.05)
print("price list loaded")


def handler(order: Order, context: Any) -> Order:
    """Take one order: reserve the items, charge the card."""
    logger.info("order %s received", order["id"])
    time.sleep(0.03)
    _log_json("items reserved", order=order["id"], items=order["items"])
    _charge(order)
    _log_json("order paid", order=order["id"], total=order["total"])
    return {"order": order["id"], "status": "paid"}


def _charge(order: Order) -> None:
    """Charge the card, which can be slow, fail or hang."""
    bank_s = order.get("bank_answers_after_s", 0.05)
    if bank_s > 0.1:
        time.sleep(0.1)
        logger.warning("the bank has not answered yet")
    time.sleep(bank_s)
    if order.get("is_declined"):
        raise CardDeclinedError(f"the bank declined {order['total']:.2f} EUR")


def _log_json(message: str, **fields: object) -> None:
    print(json.dumps({"level": "INFO", "message": message, **fields}))
