"""Answers that cost a careless verifier its time, its memory or its life, made by families.

`answers()` gives each once, in its family's order; what they mean is not important, only that a
verifier is through with them in no time, does not take them for right, and lives on.
"""

import itertools
from collections.abc import Callable, Iterator

from verifiers.corpora import HOSTILE

GOLD = "123456"  # none of the answers says so
MEGABYTE = 1_000_000
SIZES = (10, 300, 5_000, 100_000)
FAMILIES: dict[str, Callable[[], Iterator[str]]] = {}


def family(make: Callable[[], Iterator[str]]) -> Callable[[], Iterator[str]]:
    FAMILIES[make.__name__] = make
    return make


def answers() -> dict[str, str]:
    """{family and number: answer}."""
    names: dict[str, str] = {}
    for name, make in FAMILIES.items():
        for at, text in enumerate(make()):
            names.setdefault(text, f"{name} {at}")
    return {name: text for text, name in names.items()}


@family
def known() -> Iterator[str]:
    yield from HOSTILE


@family
def power_towers() -> Iterator[str]:
    for base, height, (opens, closes) in itertools.product(
        ("2", "9", "10", "x", "-3", "0.5"), (3, 6, 40), (("^{", "}"), ("**", ""), ("^(", ")"))
    ):
        yield base + (opens + base) * height + closes * height


@family
def factorials() -> Iterator[str]:
    for number, marks in itertools.product(("9", "170", "99999"), (1, 2, 5, 200)):
        yield "(" * marks + number + ")!" * marks
        yield number + "!" * marks
    for lower in (10**3, 10**6, 10**9):
        yield f"\\binom{{{lower * 2}}}{{{lower}}}"
        yield f"\\prod_{{i=1}}^{{{lower}}} i"
        yield f"\\sum_{{n=1}}^{{{lower}}} \\frac{{1}}{{n^2}}"


@family
def long_numbers() -> Iterator[str]:
    for size in SIZES:
        yield from ("7" * size, "-" + "7" * size, "0." + "3" * size, "0" * size + "7",
                    "1" + ",000" * size, "7" * size + "/" + "3" * size, "7" * size + "%",
                    "0x" + "f" * size, "1_" * size + "1")  # fmt: skip
    for exponent in (5, 308, 309, 99_999, 10**15):
        yield from (f"1e{exponent}", f"-1e{exponent}", f"1e-{exponent}", f"10^{{{exponent}}}",
                    f"7\\times10^{{{exponent}}}")  # fmt: skip


@family
def nesting() -> Iterator[str]:
    pairs = ("()", "[]", "{}", "<>", "||", "$$", ("\\{", "\\}"), ("\\left(", "\\right)"),
             ("\\text{", "}"), ("\\boxed{", "}"), ("\\sqrt{", "}"), ("\\frac{1}{", "}"),
             ("\\frac{", "}{2}"), ("\\begin{a}", "\\end{a}"), ("{{", "}}"))  # fmt: skip
    for (opened, closed), depth in itertools.product(pairs, (50, 1_500, 20_000)):
        yield opened * depth + "7" + closed * depth
        yield opened * depth + "7"
        yield "7" + closed * depth


@family
def long_sums() -> Iterator[str]:
    for part, size in itertools.product(
        ("+1", "-1", "*9", "/3", "^2", "=7", ",7", ";7", " 7", " or 7", "\\cup 7", "x+", "7x**2+"),
        (300, 30_000),
    ):
        yield "7" + part * size


@family
def patterns() -> Iterator[str]:
    """Texts on which backtracking explodes, and expressions that would do it."""
    for part, end in itertools.product(
        ("a", "aa", "ab", "0", "0 ", "7,", " ", "\t", "\n", "\\", "{", "$", "*", "#", "-", "\\text",
         "\\frac", "\\boxed", "####", "answer:", "Answer: \n", "1/", "1 ", "```\n", "1.", "=="),
        ("", "!", "\x00", "7"),
    ):  # fmt: skip
        yield part * (60_000 // len(part)) + end
    yield from ("(a+)+$", "(a|a)*b", "(.*)*", "((a*)*)*", "(?R)", "[" * 99, "(?<=a*)b", "\\1" * 99)


@family
def look_alikes() -> Iterator[str]:
    """The gold's digits in other scripts, in other orders, with things between them."""
    zeros = (0x0660, 0x06F0, 0x07C0, 0x0966, 0x0E50, 0xFF10, 0x1D7CE, 0x1D7D8, 0x1D7F6, 0x1FBF0)
    for zero in zeros:
        yield "".join(chr(zero + int(digit)) for digit in GOLD)
    yield from ("①②③④⑤⑥", "¹²³⁴⁵⁶", "₁₂₃₄₅₆", "ⅠⅡⅢⅣⅤⅥ", "一二三四五六", "l23456", "I23456", 
                "12345б", "12З456", "1234S6")  # fmt: skip
    between = (
        "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e", "\u0301",
        "\u20dd", "\ufe0f", "\U000e0031", "\x00", "\x08", "\x1b[0m", "\x7f", "\ud800", "\n",
        "\u2028",
    )  # fmt: skip
    for mark in between:
        yield mark.join(GOLD)
        yield mark * 10_000 + "7"
    for mark in ("\u202e", "\u202d", "\u2066", "\u2067", "\u200f", "\u061c"):
        yield f"{mark}{GOLD[::-1]}\u202c"
        yield f"{mark * 10_000}7"
    yield from (
        "\ufdfa" * 10_000,
        "\u0390" * 10_000,
        "Z" + "\u0335" * 50_000,
        "\U0001f468\u200d" * 9_000,
    )


@family
def code() -> Iterator[str]:
    for act in ("import os; os._exit(0)", "__import__('os').system('sleep 99')", "exec('1/0')",
                "eval('9**9**9')", "[0]*10**12", "'a'*10**12", "open('/etc/passwd').read()",
                "while True: pass", "(lambda f: f(f))(lambda f: f(f))", "input()", "breakpoint()",
                "quit()", "raise SystemExit", "().__class__.__mro__[1].__subclasses__()",
                "f'{9**9**9}'", "int('9'*10**7)", "range(10**18)[-1]", "globals().clear()",
                ):  # fmt: skip
        yield act
        yield f"${act}$"
        yield f"\\text{{{act}}}"
    yield from ("'; DROP TABLE answers; --", "<script>alert(1)</script>", "${jndi:ldap://x/a}",
                "{{7*7}}", "{% for i in range(10**9) %}{% endfor %}", "%s%s%n%n", "$(sleep 99)",
                "`sleep 99`", "| sleep 99", "../../../../etc/passwd", "file:///etc/passwd",
                "!!python/object/apply:os.system ['sleep 99']", "cos\nsystem\n(S'sleep 99'\ntR.",
                '<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', "a: &a [*a, *a]")  # fmt: skip


@family
def data() -> Iterator[str]:
    for unit, size in itertools.product(('{"a":', "[", '{"score": 1, "correct": true}',
                                         '{"status": "right"}\n', "<a>", "- - ", "a: b\n"),
                                        (10, 1_000, 100_000)):  # fmt: skip
        yield unit * size
    yield from ("nan", "NaN", "inf", "-Infinity", "null", "None", "undefined", "true", "gold", "*",
                ".*", "any", "all of the above", "the right answer", "see above", "?", "-", "+",
                "\\infty", "\\emptyset", "\\mathbb{R}", "x", "x=x", "123455 to 123457")  # fmt: skip


@family
def a_megabyte() -> Iterator[str]:
    for unit in ("a", "7", " ", "\n", "\x00", "é", "\U0001f600", "\ud800", "7 ", "7\n", "7,",
                 "a b ", "\\", "{", "}", "$", "#", "####", "\\boxed{7} ", "#### 7\n", "```\n",
                 "Answer: 7\n", "x = 7. ", "\\frac12", "%", "&", "-", "−", "\u202e7",
                 "(7)"):  # fmt: skip
        yield (unit * (MEGABYTE // len(unit) + 1))[:MEGABYTE]
