r"""The final answer of a response: after the last `####`, in the last `\boxed{}`, the last number.

A number that nothing marks is the last resort: it ends no list and does not repeat the question.
Every function is one pass over at most MAX_TAIL characters from the end, so a hostile response
costs no more than a long one.
"""

import re

from jumar.verifiers.rational import number

MAX_TAIL = 200_000
MAX_ANSWER = 20_000
MARKER = "####"
# one number: optional sign and dollar, digits with grouping commas, a decimal part or a denominator
_NUMBER = re.compile(r"[-\u2212]?\$?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?%?")

_JOINED = ("^", "*", "/", "_")
_LISTED = re.compile(
    r"[0-9%](?:\s*(?:[,;|&]|or|and)\s*|\s+)\$?$"
)  # what stands before a list's end


def hash_answer(response: str, *, multiline: bool = False) -> str | None:
    """The text after the last `####`: its line, or all lines where answers span several."""
    tail = response[-MAX_TAIL:]
    at = tail.rfind(MARKER)
    if at < 0:
        return None
    text = tail[at + len(MARKER) :]
    if multiline:
        lines = [line.rstrip() for line in text.split("\n")]
        text = "\n".join(lines[1:] if not lines[0].strip() else [lines[0].strip(), *lines[1:]])
        text = text.rstrip()
    else:
        text = text.lstrip(" \t\r").split("\n", 1)[0].strip()
    return text if text.strip() and len(text) <= MAX_ANSWER else None


def boxed_answer(response: str) -> str | None:
    r"""The content of the last `\boxed{...}` or `\fbox{...}`, whose braces must balance."""
    tail = response[-MAX_TAIL:]
    last = max(tail.rfind("\\boxed"), tail.rfind("\\fbox"))
    if last < 0:
        return None
    start = last + (6 if tail.startswith("\\boxed", last) else 5)
    body = tail[start:]
    if body.startswith(" ") and body.lstrip(" ")[:1] != "{":
        return _bounded(body.lstrip(" ").split("$", 1)[0].split("\n", 1)[0])  # `\boxed 7`
    body = body.lstrip(" ")
    return _bounded(_braced(body)) if body.startswith("{") else None


def _braced(text: str) -> str:
    """The content of the brace that opens `text`; "" where it never closes."""
    depth = 0
    escaped = False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return text[1:i]
    return ""


def _bounded(text: str) -> str | None:
    text = text.strip()
    return text if text and len(text) <= MAX_ANSWER else None


def last_number(response: str) -> str | None:
    """The last number of the response, as written; None: none, or part of a term or a list."""
    last = None
    for match in _NUMBER.finditer(response[-MAX_TAIL:]):
        last = match
    if last is None:
        return None
    tail = last.string
    if tail[: last.start()].endswith("**") and tail.startswith("**", last.end()):
        return last.group().rstrip(",")  # **7** is bold print
    before, after = tail[: last.start()][-1:], tail[last.end() :][:1]
    # the 7 of 10^7, x7, 3*7 or 7! is no answer
    if before in _JOINED or before.isalnum() or after in _JOINED or after == "!":
        return None
    if _LISTED.search(tail[max(0, last.start() - 20) : last.start()]):
        return None
    return last.group().rstrip(",")


def new_number(response: str, question: str) -> str | None:
    """The last number of the response, unless the question has the same one."""
    found = last_number(response)
    asked = {number(match.group().rstrip(",")) for match in _NUMBER.finditer(question[-MAX_TAIL:])}
    return None if found is None or number(found) in asked else found


def fenced_code(response: str) -> str | None:
    """The last block that a line of ``` opens and another closes; None where there is none."""
    opened: list[str] | None = None
    last = None
    for line in response[-MAX_TAIL:].split("\n"):
        if not line.lstrip().startswith("```"):
            if opened is not None:
                opened.append(line)
        elif opened is None:
            opened = []
        else:
            last, opened = "\n".join(opened), None
    return last


def final_answer(response: str, order: tuple[str, ...] = ("hash", "boxed")) -> str | None:
    """The first marked answer found by the readers named in `order`."""
    for name in order:
        found = _READERS[name](response)
        if found is not None:
            return found
    return None


_READERS = {"hash": hash_answer, "boxed": boxed_answer}
