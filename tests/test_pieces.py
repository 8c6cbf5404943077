import pickle

import pytest
import torch
from torch import Tensor

from jumar.ops.divergence import Divergence
from jumar.penalties.kl import requested_divergence, sampled_kl
from jumar.pieces import Piece, makes, piece, promises, reads


@reads("ref_logprobs", "{policy}")
def weight(tokens: Tensor, *, low: float, policy: str = "old_logprobs") -> Tensor:
    return tokens * low


@makes("active")
@promises("group_centred")
def wrapping(tokens: Tensor, *, advantage: Piece) -> Tensor:
    return advantage(tokens)


def test_a_piece_calls_its_function_with_its_settings() -> None:
    assert float(piece(weight, low=3.0)(torch.tensor(2.0))) == 6


def test_pieces_compare_by_value_in_any_order_of_settings() -> None:
    one, other = piece(weight, low=1.0, policy="x"), piece(weight, policy="x", low=1.0)
    assert one == other
    assert hash(one) == hash(other)
    assert one != piece(weight, low=2.0, policy="x")
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_piece_prints_its_name_and_settings() -> None:
    assert repr(piece(weight, low=1.0)) == "weight(low=1.0)"
    inner = piece(weight, low=1.0)
    assert repr(piece(wrapping, advantage=inner)) == "wrapping(advantage=weight(low=1.0))"
    assert repr(piece(weight)) == "weight"


def test_an_unknown_setting_is_refused_when_it_is_bound() -> None:
    with pytest.raises(TypeError, match="high"):
        piece(weight, high=1.0)


def test_what_is_read_follows_the_settings_and_the_defaults() -> None:
    assert piece(weight, low=1.0).reads == {"ref_logprobs", "old_logprobs"}
    assert piece(weight, low=1.0, policy="logprobs").reads == {"ref_logprobs", "logprobs"}
    assert piece(sampled_kl, kind="k3").reads == {"ref_logprobs"}
    assert piece(sampled_kl, kind="k3", other="teacher_logprobs").reads == {"teacher_logprobs"}
    request = Divergence(kind="jsd", target="teacher", beta=0.5)
    assert piece(requested_divergence, divergence=request).reads == {"jsd0.5_teacher"}


def test_a_wrapping_piece_passes_on_what_the_wrapped_one_reads() -> None:
    wrapped = piece(wrapping, advantage=piece(weight, low=1.0))
    assert wrapped.reads == {"ref_logprobs", "old_logprobs"}
    assert wrapped.makes == {"active"}
    assert wrapped.traits == {"group_centred"}
