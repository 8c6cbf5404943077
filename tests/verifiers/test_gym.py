import pytest

from jumar.verifiers.gym import scorer
from jumar.verifiers.gym_scorers import REPLACED
from jumar.verifiers.score import Row


def scored(dataset, response, answer, multiline=False, **metadata):
    return scorer(dataset=dataset, multiline=multiline)(response, Row("q", answer, metadata))


def test_partial_credit_is_a_score_and_not_correct():
    entry = {"numbers": [8, 3, 8, 3], "target": 24}
    right = scored("countdown", "#### 8/(3 - 8/3)", "", **entry)
    wrong = scored("countdown", "#### 8 + 3 + 8 + 3", "", **entry)
    assert (right.score, right.correct, right.status) == (1.0, True, "right")
    assert (wrong.score, wrong.correct, wrong.status) == (0.05, False, "wrong")


@pytest.mark.parametrize(
    ("dataset", "answer", "found", "score", "metadata"),
    [
        ("countdown", "", "24", 0.05, {"numbers": [8, 3], "target": 24}),
        ("countdown", "", "8*3 + 0", 0.05, {"numbers": [8, 3], "target": 24}),
        ("countdown", "", "__import__('os')", 0.01, {"numbers": [8, 3], "target": 24}),
        ("puzzle24", "", "8*3*1*1", 1.0, {"numbers": [1, 8, 3, 1]}),
        ("puzzle24", "", "6*4*1*1", 0.01, {"numbers": [1, 8, 3, 1]}),
        ("puzzle24", "", "24.9", 0.01, {"numbers": [1, 8, 3, 1]}),
        ("string_insertion", "ABC", "ABC", 1.0, {}),
        ("string_insertion", "ABC", "['A', 'B', 'C']", 0.1, {}),
        ("string_insertion", "ABC", "'ABC'", 0.0, {}),
        ("spiral_matrix", "1 2 3", "[1, 2, 3]", 0.1, {}),
        ("spiral_matrix", "1 2 3", "list(range(1, 4))", 0.0, {}),
        ("binary_matrix", "0 1\n1 0", "[[0, 1], [1, 0]]", 0.1, {}),
        ("binary_matrix", "0 1\n1 0", "[[[[[0]]]]]", 0.0, {}),
        ("n_queens", "", '[["Q", "_"], ["_", "_"]]', 0.5, {"valid_answers": ["Q _\n_ _"]}),
        ("number_sorting", "['1', '2.5']", '["1.0", "2.50"]', 1.0, {}),
        ("number_sorting", "['1', '2.5']", '["1.4", "2.5"]', 0.0, {}),
        ("number_sorting", "['1', '2.5']", "['nan', '2.5']", 0.0, {}),
        ("bitwise_arithmetic", "0x10", "16", 1.0, {}),
        ("bitwise_arithmetic", "0x10", "0b10000", 1.0, {}),
        ("bitwise_arithmetic", "0x10", "8 + 8", 0.0, {}),
        ("polynomial_multiplication", "x**2 - 1", "-1 + x**2", 1.0, {}),
        ("polynomial_multiplication", "x**2 - 1", "(x - 1)*(x + 1)", 0.0, {}),
        ("simple_integration", "", "x**2/2 + C", 1.0, {"integrand": "x", "variable": "x"}),
        ("simple_integration", "", "x**2 + C", 0.0, {"integrand": "x", "variable": "x"}),
        ("game_of_life_halting", "True", "true", 1.0, {}),
        ("game_of_life_halting", "False", "True", 0.0, {}),
        ("coin_flip", "0.375", "3/8", 1.0, {}),
        ("coin_flip", "0.375", "0", 0.0, {}),
        ("coin_flip", "3.05e-05", "0", 0.0, {}),
        ("gsm_symbolic", "5", "5", 1.0, {}),
        ("gsm_symbolic", "5", "-5", 0.01, {}),
        ("gsm_symbolic", "5", "5 or 6", 0.0, {}),
        ("complex_arithmetic", "", "3 - 2i", 1.0, {"result": [3.0, -2.0]}),
        ("complex_arithmetic", "", "nan", 0.0, {"result": [3.0, -2.0]}),
        ("complex_arithmetic", "", "-i", 1.0, {"result": [0.0, -1.0]}),
        ("figlet_font", "abcdefghijkl", "abcdefghijklx", 0.9, {}),
        ("spell_backward", "cba", "CBA", 1.0, {}),
        ("spell_backward", "cba", "cbax", 0.8, {}),
    ],
)
def test_our_scorers_give_the_marks_they_promise(dataset, answer, found, score, metadata):
    assert REPLACED[dataset](found, {"answer": answer, "metadata": metadata}) == score


@pytest.mark.parametrize("response", ["", "####", "#### \n", "\\boxed{}", "42"])
def test_a_response_without_an_answer_is_unparseable(response):
    found = scored("chain_sum", response, "42")
    assert (found.status, found.score) == ("unparseable", 0.0)


def test_only_the_extracted_answer_is_scored():
    assert scored("chain_sum", "41 or 43\n#### 42\n", "42").correct
    assert scored("chain_sum", "it is \\boxed{42}", "42").correct
    assert not scored("chain_sum", "42\n#### 41", "42").correct


@pytest.mark.parametrize("answer", ["4,2", "42,", "4.2e1", "\u0664\u0662", "0,42"])
def test_where_the_gold_is_a_number_only_a_number_has_the_full_mark(answer):
    assert scored("chain_sum", f"#### {answer}", "42").status == "unparseable"
    assert scored("chain_sum", "#### +42.0", "42").correct


def test_a_scorer_that_raises_on_an_answer_calls_it_unparseable():
    found = scored("prime_factorization", "#### nan", "3 × 3")
    assert (found.status, found.extracted) == ("unparseable", "nan")
    assert "prime_factorization cannot read it: ValueError" in found.detail


def test_a_scorer_prints_nothing(capfd):
    hanoi = {"num_disks": 1, "num_pegs": 3, "start_peg": 1, "target_peg": 2}
    scored("tower_of_hanoi", "#### Move disk 1 from Peg 9 to Peg 7", "x", **hanoi)
    assert capfd.readouterr() == ("", "")
