import json
from dataclasses import replace

import pytest
from evaluations import evaluation

from jumar.errors import DataError
from jumar.evaluation.evaluate import read, write
from jumar.evaluation.judge import Opinion


def test_what_is_written_is_read_back(tmp_path):
    opinions = [None, Opinion(True, "the same"), Opinion(None, cause="timed out"), None]
    written = replace(evaluation("10 u1"), judge={"model": "m"}, opinions=opinions)
    write(written, tmp_path / "new" / "scores.jsonl")
    found = read(tmp_path / "new" / "scores.jsonl")
    assert found.to_dict() == written.to_dict()
    assert list(found.rows()) == list(written.rows())
    assert found.digest == written.digest
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores.jsonl"]


def test_the_first_line_says_by_which_protocol_and_the_others_keep_score_and_reason(tmp_path):
    written = evaluation("10 01", conditions={"task": "sums"})
    write(written, tmp_path / "scores.jsonl")
    head, *rows = map(json.loads, (tmp_path / "scores.jsonl").read_text().splitlines())
    assert head["protocol"]["digest"] == written.digest
    assert head["protocol"]["parts"]["task"] == "sums"
    assert len(rows) == 4
    assert {"response", "score", "correct", "status", "extracted", "detail"} <= set(rows[0])


def test_a_file_of_an_earlier_version_is_read_without_a_protocol(tmp_path):
    file = tmp_path / "old.jsonl"
    write(evaluation("10"), file)
    head, *rows = file.read_text().splitlines()
    kept = {k: v for k, v in json.loads(head).items() if k not in ("protocol", "judge")}
    file.write_text("\n".join([json.dumps(kept), *rows]) + "\n")
    found = read(file)
    assert found.protocol == {}
    assert found.to_dict()["estimates"] == evaluation("10").to_dict()["estimates"]
    assert found.judged() == {}


@pytest.mark.parametrize("keep", [slice(0, 0), slice(0, 1), slice(1, 9), slice(0, -1)])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, keep):
    file = tmp_path / "scores.jsonl"
    write(evaluation("10 01"), file)
    file.write_text("\n".join(file.read_text().splitlines()[keep]))
    with pytest.raises(DataError, match=r"scores\.jsonl are damaged.*evaluate again"):
        read(file)
