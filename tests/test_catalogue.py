"""The catalogue of the field names what is here, all of it and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jumar import algorithms

ROOT = Path(__file__).parent.parent
PAPERS: list[dict[str, Any]] = json.loads((ROOT / "docs" / "catalogue.json").read_text())
PAGE = (ROOT / "docs" / "catalogue.md").read_text()


def test_every_paper_of_both_lists_is_there_once_and_in_order() -> None:
    for listing, count in {"A": 73, "B": 77}.items():
        numbers = [paper["number"] for paper in PAPERS if paper["listing"] == listing]
        assert numbers == list(range(1, count + 1))
    assert all(paper["title"] in PAGE for paper in PAPERS)


@pytest.mark.parametrize("name", algorithms.names())
def test_an_algorithm_whose_paper_is_in_the_lists_is_linked_there(name: str) -> None:
    cited = algorithms.card(name).labels["Paper"]
    for paper in PAPERS:
        by_number = paper["arxiv"] and f"arXiv:{paper['arxiv']}" in cited
        if by_number or paper["title"].lower() in cited.lower():
            assert name in paper["algorithms"], paper["title"]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: f"{paper['listing']}{paper['number']}")
def test_what_works_has_an_algorithm_that_cites_the_paper_and_nothing_else_has(
    paper: dict[str, Any],
) -> None:
    assert (paper["state"] == "works") == bool(paper["algorithms"])
    assert paper["arxiv"] is None or re.fullmatch(r"\d{4}\.\d{5}", paper["arxiv"])
    for name in paper["algorithms"]:
        assert f"arXiv:{paper['arxiv']}" in algorithms.card(name).labels["Paper"]


def test_what_is_not_shipped_says_why() -> None:
    reasons = (ROOT / "docs" / "not-shipped.md").read_text()
    for paper in PAPERS:
        if paper["state"] == "not shipped":
            assert paper["arxiv"] in reasons, paper["title"]


def test_evidence_is_read_off_the_tests() -> None:
    assert "[`sapo`](../src/jumar/algorithms/sapo.py): laws, equal to TRL and verl" in PAGE
    assert "[`dcpo`](../src/jumar/algorithms/dcpo.py): laws, equal" not in PAGE
