"""A short row of a published study, run again: the same rollouts and weights, bit for bit.

What they are now is in `repeated.json`. Moving it needs a changelog entry under Numerics; the
studies' own records stay those of the commits that they name.
"""

import json
from pathlib import Path

import pytest
from test_studies import RESULTS, STUDIES

from jumar.engines.local.models import load_model
from jumar.reproduce.runs import Runner
from jumar.reproduce.worker import weights_hash

COMMITTED = json.loads(Path(__file__).with_name("repeated.json").read_text())


@pytest.mark.slow
def test_a_short_row_gives_the_committed_hashes_again(tmp_path: Path) -> None:
    study, store = STUDIES["a_star_po"], RESULTS / "a_star_po"
    tuned = Runner(study=study, store=store, work=tmp_path, jobs=1, tell=print)
    job = next(job for job in tuned.planned() if job.name == "timed-rebel-seed0")

    def run(name: str) -> dict[str, str]:
        place = tmp_path / name
        again = Runner(study=study, store=place, work=place / "work", jobs=1, tell=print)
        assert again.make(job) is None
        return json.loads((place / f"{job.name}.json").read_text())["hashes"]

    base = weights_hash(load_model("tiny")[0].state_dict())
    if base == COMMITTED["base"]:
        assert run("again") == COMMITTED["hashes"]
    else:  # another processor gave another base; then two runs have to agree with each other
        assert run("one") == run("two")
