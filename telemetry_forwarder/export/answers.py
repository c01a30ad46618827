"""Judges a JSON object that a server sent instead of an OTLP response. Pure; never raises.

Imported only if there is one: `{}` and `partialSuccess` are OTLP's, and most receivers send nothing else.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

_OTLP = "partialsuccess"
_PROBLEM = re.compile(r"(?:error|fault|exception)(?:s|message|msg|code|type|description|string)?")
_FLAG = re.compile(r"success(?:ful)?|ok|accepted|auth(?:enticated|orized)|valid")
_CODE = re.compile(r"(?:http)?(?:status)?code|(?:http)?status|errno")
_STATE = re.compile(r"status|state|result|outcome|type")
_PROSE = re.compile(r"message|msg|text|title|details?|reason|description")
_NOTHING = frozenset({"", "0", "none", "null", "false", "no", "ok", "success", "200"})
_NO = frozenset({"", "0", "false", "no"})
_YES = frozenset({"1", "true", "yes"})
_REFUSAL = re.compile(
    r"\b(?:err(?:or)?s?|fail(?:ed|ure)?|faults?|forbidden|un(?:auth|avail|support)\w*|den(?:y|ied)|reject\w*|refused"
    r"|invalid|expired|missing|exceeded|throttl\w*|blocked|bad|not|no such|too (?:many|large)|log ?in|sign ?in|nok)\b"
    r"|exception|\w(?:error|fault|denied)\b"
)
_CONSENT = re.compile(
    r"(?:(?:no|0|without) errors?|ok(?:ay)?|success(?:ful(?:ly)?)?|accepted|received|created|queued|processed|ingested"
    r"|done|completed?|true|\W)+"
)
_MAX_TEXT_CHARS = 1_000
_MAX_DEPTH = 3


class Answer(Enum):
    """Ordered: of two members that disagree, the later one here decides."""

    OTLP = 0
    """It has no members but those of OTLP."""
    YES = 1
    UNKNOWN = 2
    NO = 3


def answer_of(members: Mapping[str, Any], depth: int = _MAX_DEPTH) -> Answer:
    """Return what an object with *members* says about the request, in the names that APIs commonly use."""
    answers, prose = [Answer.OTLP], [Answer.OTLP]
    for name, value in members.items():
        word = "".join(filter(str.isalnum, name.lower()))
        if word != _OTLP:
            (prose if _PROSE.fullmatch(word) else answers).append(_of_member(word, value, depth))
    if Answer.YES in answers and Answer.NO in prose:
        # A remark on a success.
        prose = [Answer.UNKNOWN]
    return max(answers + prose, key=lambda answer: answer.value)


def _of_member(name: str, value: object, depth: int) -> Answer:
    text = str(value).strip().lower()[:_MAX_TEXT_CHARS] if isinstance(value, str | int | float) else None
    if _PROBLEM.fullmatch(name):
        return Answer.OTLP if not value or text in _NOTHING else Answer.NO
    if isinstance(value, Mapping):
        return answer_of(value, depth - 1) if value and depth else Answer.UNKNOWN
    if text is None:
        return Answer.UNKNOWN
    if _FLAG.fullmatch(name) and text in _NO | _YES:
        return Answer.YES if text in _YES else Answer.NO
    if _CODE.fullmatch(name) and text.isdecimal() and len(text) < 10:
        return _of_code(int(text))
    if any(names.fullmatch(name) for names in (_FLAG, _STATE, _PROSE)):
        return _of_text(text)
    return Answer.UNKNOWN


def _of_code(code: int) -> Answer:
    if 400 <= code < 600:
        return Answer.NO
    return Answer.YES if code == 0 or 200 <= code < 300 else Answer.UNKNOWN


def _of_text(text: str) -> Answer:
    if _CONSENT.fullmatch(text):
        return Answer.YES
    return Answer.NO if _REFUSAL.search(text) else Answer.UNKNOWN
