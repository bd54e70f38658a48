"""What is counted of the routers' choices, on a case small enough to count by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from omni.callbacks.router import RouterTelemetry, use_pictures, use_scalars
from omni.callbacks.router_use import RouterUse
from omni.nn.moe.router import Routing
from omni.sequence import PADDING
from tests.callbacks.watched_run import Kept
from tests.tiny_run import fit, write_corpus

EXPERTS_NT = torch.tensor([[0, 1], [0, 2], [3, 1], [3, 2], [0, 1]])
MODALITY_N = torch.tensor([0, 0, 1, 1, PADDING], dtype=torch.uint8)
SCORES_NE = torch.tensor(
    [
        [0.25, 0.25, 0.25, 0.25],
        [0.5, 0.5, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [2.0, 2.0, 2.0, 2.0],  # sigmoid scores needn't sum to 1
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def use(open_M: tuple[int, ...] | None = None) -> RouterUse:
    """Five positions go to two of four experts each; the last is padding, and there is no audio."""
    routing = Routing(EXPERTS_NT, torch.full((5, 2), 0.5), torch.zeros(5), SCORES_NE)
    return RouterUse.of(routing, MODALITY_N, open_M)


def test_load_is_the_share_of_each_modality() -> None:
    assert use().load[0].tolist() == [
        [0.5, 0.25, 0.25, 0.0],  # text
        [0.0, 0.25, 0.25, 0.5],  # image
        [0.0, 0.0, 0.0, 0.0],  # audio
    ]


def test_pairs_are_the_share_of_positions_that_went_to_both() -> None:
    text, image, audio = use().pairs[0].tolist()
    assert text == [[0, 0.5, 0.5, 0], [0.5, 0, 0, 0], [0.5, 0, 0, 0], [0, 0, 0, 0]]
    assert image == [[0, 0, 0, 0], [0, 0, 0, 0.5], [0, 0, 0, 0.5], [0, 0.5, 0.5, 0]]
    assert audio == [[0.0] * 4] * 4


def test_entropy_is_that_of_a_position_and_of_the_load() -> None:
    torch.testing.assert_close(use().entropy, torch.tensor([[0.75, 0.5, 0.0]]))
    torch.testing.assert_close(use().load_entropy, torch.tensor([[0.75, 0.75, 0.0]]))


def test_dead_experts_are_used_by_no_modality() -> None:
    assert use().dead.tolist() == [0.0]
    text = use()
    text.counts[:, 1:] = 0
    assert text.dead.tolist() == [1.0]


def test_batches_add_up() -> None:
    one = use()
    torch.testing.assert_close((one + one).load, one.load)
    torch.testing.assert_close((one + one).entropy, one.entropy)
    assert (one + one).positions.tolist() == [[4.0, 4.0, 0.0]]


def test_scalars_leave_out_what_there_was_none_of() -> None:
    scalars = use_scalars(use(), layers=[3], each_expert=True)
    assert not any("audio" in name for name in scalars)
    assert scalars["router/dead_experts"] == 0
    assert scalars["router/text_max_over_mean"] == scalars["router/layer_3/text_max_over_mean"] == 2
    assert scalars["router/image_unused_experts"] == 1
    assert scalars["router/image_top_pair"] == 0.5
    assert scalars["router/text_entropy"] == pytest.approx(0.75)
    assert scalars["router/layer_3/image_load/expert_4"] == 0.5
    assert not any("expert_" in name for name in use_scalars(use(), [3], each_expert=False))


def test_experts_that_are_closed_to_a_modality_are_not_missed() -> None:
    figures = use(open_M=(3, 2, 1)).figures()
    assert figures["unused_experts"][0, 0] == 0
    assert figures["max_over_mean"][0, 0] == 1.5
    assert figures["entropy"][0, 0] == pytest.approx(0.75 * math.log(4) / math.log(3))


def test_pictures_of_any_number_of_layers_and_experts_stay_small() -> None:
    few = use_pictures(use(), [1])
    assert few["router/load"].shape[2] == 3 and (few["router/load"] == (37, 99, 235)).all(-1).any()
    experts, layers = 128, 60
    counts = torch.rand(layers, 3, experts**2 + 2, generator=torch.Generator().manual_seed(0))
    for picture in use_pictures(
        RouterUse(counts, experts, (experts,) * 3), list(range(1, layers + 1))
    ).values():
        assert math.prod(picture.shape[:2]) < 12e6


def test_pictures_come_every_so_many_looks_and_where_there_is_tensorboard(tmp_path: Path) -> None:
    corpus, log = write_corpus(tmp_path / "corpus"), TensorBoardLogger(tmp_path)
    fit(corpus, tmp_path / "out", callbacks=[RouterTelemetry(2, picture_every=2)], logger=[log, Kept()])
    events = EventAccumulator(log.log_dir).Reload()
    assert [event.step for event in events.Images("router/load")] == [3, 7]
    assert [event.step for event in events.Images("router/coactivation")] == [3, 7]
    assert [event.step for event in events.Scalars("router/dead_experts")] == [1, 3, 5, 7]


def test_a_negative_number_of_looks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"picture_every must be 0 .* got -1"):
        RouterTelemetry(picture_every=-1)
