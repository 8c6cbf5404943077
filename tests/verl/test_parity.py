"""The same loss and gradients in verl's own step, and planted errors that must show."""

from typing import Any

import pytest
import torch

from jumar import algorithms
from jumar.engines.verl import signals
from jumar.engines.verl.worker import JumarTrainingWorker
from parity.case import algorithm, case, difference, ours
from parity.records import check, host, stored


@pytest.mark.parametrize("name", algorithms.names())
def test_verl_gives_our_loss_and_our_gradients(name):
    check("verl", name)


def whole_mask(fields_of: Any) -> Any:
    """What a tool wrote, and rows that were dropped, count as sampled."""

    def planted(*arguments: Any) -> dict[str, torch.Tensor]:
        fields = fields_of(*arguments)
        ones = [torch.ones_like(row) for row in fields["jumar_mask"].unbind()]
        return fields | {"jumar_mask": torch.nested.as_nested_tensor(ones, layout=torch.jagged)}

    return planted


def scale_of_half(counted: Any) -> Any:
    """Each row is divided by the counts of half the step."""

    def planted(self: Any, data: Any) -> Any:
        return counted(self, data[: len(data) // 2])

    return planted


PLANTED = {whole_mask: (signals, "fields_of"), scale_of_half: (JumarTrainingWorker, "_scale")}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("name", ["dapo", "reinforce"])
def test_a_planted_error_is_found(plant, name, tmp_path, monkeypatch):
    owner, attribute = PLANTED[plant]
    monkeypatch.setattr(owner, attribute, plant(getattr(owner, attribute)))
    record, fixed = algorithm(name), case()
    found = host("verl").theirs(record, fixed, tmp_path)
    assert difference(ours(record, fixed), found).gradient > 1000 * stored("verl")["tolerance"]
