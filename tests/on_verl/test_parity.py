"""The same loss and gradients in verl's own step, and planted errors that must show."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from jumar import algorithms
from jumar.correction import corrected
from jumar.engines.verl import signals
from jumar.engines.verl.loss import JumarLoss
from jumar.engines.verl.worker import JumarTrainingWorker
from jumar.types import LossScale
from parity.case import algorithm, case, difference, ours
from parity.records import check, host, stored


@pytest.mark.parametrize("name", algorithms.names())
def test_verl_gives_our_loss_and_our_gradients(name):
    check("verl", name)


def test_a_correction_for_the_sampler_gives_ours(tmp_path):
    record = corrected(algorithm("owpo"), kind="truncated", ratio_max=1.02)
    plain, wanted = ours(algorithm("owpo"), case()), ours(record, case())
    assert difference(plain, wanted).gradient > 0.01
    asked = ["+jumar.correction.kind=truncated", "+jumar.correction.ratio_max=1.02"]
    found = host("verl").theirs(algorithm("owpo"), case(), tmp_path, *asked)
    assert max(difference(wanted, found)) < stored("verl")["tolerance"]


def late(row: torch.Tensor) -> torch.Tensor:
    """Every response begins one token late."""
    return torch.cat([row.new_zeros(1), row[:-1]])


def with_masks(change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The adapter's fields with the mask of each row changed."""

    def plant(fields_of: Any) -> Any:
        def planted(*arguments: Any, **named: Any) -> dict[str, torch.Tensor]:
            fields = fields_of(*arguments, **named)
            masks = [change(row) for row in fields["jumar_mask"].unbind()]
            return fields | {
                "jumar_mask": torch.nested.as_nested_tensor(masks, layout=torch.jagged)
            }

        return planted

    return plant


def rows_as_they_were_sampled(fields_of: Any) -> Any:
    """As if verl had not dealt the rows out anew: each gets the columns of its neighbour."""

    def planted(batch: Any, rows: Any, *arguments: Any, **named: Any) -> Any:
        return fields_of(batch, rows.roll(1), *arguments, **named)

    return planted


def scale_of_the_micro_batch(call: Any) -> Any:
    """Each micro-batch is divided by its own counts."""

    def planted(self: Any, model_output: Any, data: Any, dp_group: Any = None) -> Any:
        own = LossScale.of(self.tokens(model_output, data))
        return call(replace(self, scale=own), model_output, data, dp_group)

    return planted


def dropped_rows_counted(counted: Any) -> Any:
    """The scale counts what `keep` has dropped, and what a tool wrote."""

    def planted(self: Any, data: Any) -> Any:
        return counted(self, {**data, "jumar_mask": data["response_mask"]})

    return planted


PLANTED = {
    "shifted_mask": (signals, "fields_of", with_masks(late)),
    "tool_output_as_ours": (signals, "fields_of", with_masks(torch.ones_like)),
    "rows_as_they_were_sampled": (signals, "fields_of", rows_as_they_were_sampled),
    "scale_of_the_micro_batch": (JumarLoss, "__call__", scale_of_the_micro_batch),
    "dropped_rows_counted": (JumarTrainingWorker, "_scale", dropped_rows_counted),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_error_is_found(plant, tmp_path, monkeypatch):
    owner, attribute, planted = PLANTED[plant]
    monkeypatch.setattr(owner, attribute, planted(getattr(owner, attribute)))
    record, fixed = algorithm("dapo"), case()
    found = host("verl").theirs(record, fixed, tmp_path)
    assert difference(ours(record, fixed), found).gradient > 1000 * stored("verl")["tolerance"]
