"""Text answers of mathematics, normalised: tuples, intervals, sets, words, formulas.

Nothing is evaluated or simplified. Two formulas are the same when their normalised LaTeX is the
same; `x^2-1` and `(x-1)(x+1)` are not, and math-verify's second opinion reports such cases.
"""

import re

from jumar.verifiers.rational import MAX_TEXT, MINUS, number

_WRAPPED = re.compile(r"\\(?:text|textrm|textbf|textit|mathrm|mathbf|mbox|hbox)\s*\{([^{}]*)\}")
_DROPPED = ("\\left", "\\right", "\\displaystyle", "\\!", "\\,", "\\;", "\\:", "\\quad", "\\(",
            "\\)", "\\[", "\\]", "^{\\circ}", "^\\circ",
            "\u00b0", "\\$", "$", "~")  # fmt: skip
_RENAMED = (("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\cfrac", "\\frac"), ("\\geq", "\\ge"),
            ("\\leq", "\\le"), ("\\neq", "\\ne"), ("\\%", "%"), ("\\cdot", "*"), ("\\times", "*"),
            ("\\lbrace", "\\{"), ("\\rbrace", "\\}"), ("\u03c0", "\\pi"), ("\u221e", "\\infty"),
            ("\u222a", "\\cup"), ("\u221a", "\\sqrt"), ("{,}", ","))  # fmt: skip
_SHORT_FRAC = re.compile(r"\\frac([0-9A-Za-z]|\{[^{}]*\})([0-9A-Za-z]|\{[^{}]*\})")
_SHORT_SQRT = re.compile(r"\\sqrt([0-9A-Za-z])")
_PLAIN_FRAC = re.compile(r"(?<![0-9A-Za-z.}])([0-9]{1,20})/([0-9]{1,20})(?![0-9A-Za-z.{])")
_VARIABLE = re.compile(r"\s*(?:[A-Za-z]|\\[a-z]{2,7})\s*(?:=|\\in(?![a-z]))(?!\s*=)")
_SYMBOL = re.compile(r"[0-9][a-zA-Z]\s*\$?$")  # a gold of 6m is an expression, not metres
_BRACKETS = {"(": ")", "[": "]", "\\{": "\\}"}
_CLOSERS = ")]}"


def same_answer(answer: str, gold: str) -> bool:
    """`answer` says the same as `gold`: as a number, element by element, or as normalised LaTeX."""
    if len(answer) > MAX_TEXT or len(gold) > MAX_TEXT:
        return False
    return _same(_without_variable(answer, gold), _without_variable(gold, gold), 3)


def _without_variable(text: str, gold: str) -> str:
    r"""`x = 5` and `x \in (0,1)` without their left side, unless the answer is an equation."""
    match = _VARIABLE.match(text.strip().removeprefix("$"))
    if not match:
        return text
    rest = text.strip().removeprefix("$")[match.end() :]
    is_equation = "=" in rest or ("=" in gold and number(gold.split("=")[-1]) is None)
    return text if is_equation else rest


def _same(answer: str, gold: str, depth: int) -> bool:
    gold_number = None if _SYMBOL.search(gold) else number(gold)
    if gold_number is not None:
        return number(answer) == gold_number
    left, right = normalised(answer), normalised(gold)
    if left == right:
        return bool(right)
    if depth == 0:
        return False
    return _same_parts(left, right, depth - 1) or _same_word(left, right)


def _same_parts(left: str, right: str, depth: int) -> bool:
    """Intervals, tuples (in order), sets and bare lists (in any order), unions part by part."""
    union = right.split("\\cup")
    if len(union) > 1:
        others = left.split("\\cup")
        return len(others) == len(union) and all(
            _same(a, b, depth) for a, b in zip(others, union, strict=True)
        )
    opened, closed, inside = _bracketed(right)
    if _bracketed(left)[:2] != (opened, closed):
        return False
    answers, golds = _elements(_bracketed(left)[2]), _elements(inside)
    if len(answers) != len(golds) or (len(golds) < 2 and not opened):
        return False
    if opened in ("(", "["):
        return all(_same(a, b, depth) for a, b in zip(answers, golds, strict=True))
    return _same_in_any_order(answers, golds, depth)


def _same_in_any_order(answers: list[str], golds: list[str], depth: int) -> bool:
    if len(golds) > 50:
        return False
    left = list(answers)
    for gold in golds:
        found = next((i for i, answer in enumerate(left) if _same(answer, gold, depth)), None)
        if found is None:
            return False
        left.pop(found)
    return True


def _same_word(left: str, right: str) -> bool:
    """Words without regard to case, and a choice letter with or without its brackets."""
    if re.fullmatch(r"\(?[A-Za-z]\)?", right) and re.fullmatch(r"\(?[A-Za-z]\)?", left):
        return ("(" in left + right) and left.strip("()") == right.strip("()")
    return len(right) > 2 and right.isalpha() and left.casefold() == right.casefold()


def normalised(text: str) -> str:
    """LaTeX in one spelling, without spaces."""
    for _ in range(3):
        text = _WRAPPED.sub(r"\1", text)
    for mark in MINUS:
        text = text.replace(mark, "-")
    for old, new in _RENAMED:
        text = text.replace(old, new)
    for mark in _DROPPED:
        text = text.replace(mark, "")
    text = "".join(text.split()).replace("\\ ", "").rstrip(".").rstrip("\\")
    for _ in range(3):
        text = _SHORT_FRAC.sub(lambda m: f"\\frac{_braces(m[1])}{_braces(m[2])}", text)
    text = _SHORT_SQRT.sub(r"\\sqrt{\1}", text)
    text = _PLAIN_FRAC.sub(r"\\frac{\1}{\2}", text)
    return re.sub(r"([\^_])\{([0-9A-Za-z])\}", r"\1\2", text)


def _braces(argument: str) -> str:
    return argument if argument.startswith("{") else f"{{{argument}}}"


def _bracketed(text: str) -> tuple[str, str, str]:
    """(opening, closing, inside) of a text that is one bracket; ("", "", text) otherwise."""
    for opened in _BRACKETS:
        if text.startswith(opened):
            for closed in (")", "]", "\\}"):
                inside = text[len(opened) : len(text) - len(closed)]
                if text.endswith(closed) and len(text) > len(opened) and _is_flat(inside):
                    return opened, closed, inside
    return "", "", text


def _is_flat(inside: str) -> bool:
    """No bracket closes that was not opened inside: `(1,2),(3,4)` is a list, not one tuple."""
    depth = 0
    for char in inside:
        depth += (char in "([{") - (char in _CLOSERS)
        if depth < 0:
            return False
    return depth == 0


def _elements(text: str) -> list[str]:
    """The parts between top-level commas."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "([{") - (char in _CLOSERS)
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return parts
