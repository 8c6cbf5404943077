"""OWPO against GRPO, DAPO, Sym-DAPO, OPD and MOPD, at the size of a desk."""

from jumar.reproduce.owpo.arms import FOUNDATIONS, TASKS, TUNING, all_arms
from jumar.reproduce.owpo.claims import CLAIMS
from jumar.reproduce.owpo.scales import SCALES
from jumar.reproduce.owpo.tables import tables
from jumar.reproduce.study import Study

STUDY = Study(
    name="owpo",
    title="OWPO, reproduced at the size of a desk",
    intro=(
        "The paper (arXiv:2605.22156) trains models of 7B and 8B on competition mathematics. Here "
        "a model of a third of a million parameters trains on sums of five or six digits, from a "
        "base that gets one in eleven right. Its protocol is kept: a run of DAPO first, whose best "
        "validated checkpoint is the fixed reference or teacher of all guided methods, and an "
        "early one the weak reference; the policies themselves start from the base. All methods "
        "have one learning rate and 60 steps of 32 prompts with 8 responses; dynamic sampling "
        "(DAPO, Sym-DAPO, OWPO) may draw up to three times as much, and the table counts tokens. "
        "What depends on scale cannot be told here, and the verdicts say so."
    ),
    arms=all_arms(),
    tuning=TUNING,
    tasks=TASKS,
    claims=CLAIMS,
    table=tables,
    scales=SCALES,
    samples=16,
    foundations=FOUNDATIONS,
)
