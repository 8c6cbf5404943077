import letters
import pytest
import torch

from jumar.engines.local.continuations import cut_values, cuts
from jumar.engines.local.models import load_model
from jumar.engines.local.policy import LocalPolicy
from jumar.engines.local.sampler import Sampling
from jumar.engines.settings import ModelSettings
from jumar.types import Continuations, RolloutBatch

LIMIT = 10


@pytest.fixture
def policy(model):
    weights, text = load_model(model)
    return LocalPolicy(
        weights, text, letters.task().template, ModelSettings(),
        max_prompt_tokens=20, max_response_tokens=LIMIT, rows=64,
    )  # fmt: skip


def said(policy, texts, open_at):
    """A rollout of these responses whose only uncertain tokens are at one place."""
    ids = torch.tensor([policy.prompts.encode_response(text)[:-1] for text in texts])
    logprobs = torch.zeros(ids.shape)
    logprobs[:, open_at] = -1.0
    return RolloutBatch.build(
        mask=torch.ones_like(ids, dtype=torch.bool),
        token_ids=ids,
        rollout_logprobs=logprobs,
        prompt_ids=torch.tensor([e.prompt_id for e in letters.task().train[: len(texts)]]),
        sample_ids=torch.zeros(len(texts), dtype=torch.long),
    )


def values(policy, pool, batch, samples=3):
    examples = letters.task().train[: len(batch)]
    return cut_values(
        batch,
        [policy.prompts.encode(e) for e in examples],
        examples,
        Continuations(samples=samples, interval=1, p_max=0.9),
        policy=policy,
        pool=pool,
        sampling=Sampling(),
    )


def test_cuts_are_every_so_many_uncertain_tokens_from_the_first_one_on():
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    p = torch.tensor([[0.95, 0.5, 0.99, 0.1, 0.2, 0.3, 0.4], [0.1, 0.95, 0.2, 0.3, 0.1, 0.1, 0.1]])
    found = cuts(p.log(), mask, Continuations(samples=1, interval=2, p_max=0.9))
    assert found.nonzero().tolist() == [[0, 1], [0, 4], [0, 6], [1, 0], [1, 3]]


def test_a_prefix_that_has_decided_is_worth_what_it_decided(policy, pool):
    """One token is left to the limit, and nine of ten letters are there already."""
    batch = said(policy, ["aaaaaaaaab", "zzzzzzzzzb"], open_at=9)
    found = values(policy, pool, batch)
    assert found[:, 9].tolist() == [1.0, 0.0]
    assert found[:, :9].isnan().all()


def test_an_open_prefix_is_worth_a_share_and_the_same_one_again(policy, pool):
    batch = said(policy, ["aazzbbbbbb"] * 4, open_at=2)
    found = values(policy, pool, batch, samples=4)
    assert ((found[:, 2] * 4) % 1 == 0).all()
    assert torch.equal(found.nan_to_num(-1), values(policy, pool, batch, samples=4).nan_to_num(-1))


def test_without_an_uncertain_token_there_is_nothing_to_sample(policy, pool):
    batch = said(policy, ["aaaa"], open_at=[])
    assert values(policy, pool, batch).isnan().all()
