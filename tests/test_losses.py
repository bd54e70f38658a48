"""Targets shown in full, their counts, what training corrupts, and losses against naive loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from omni.datamodules.collate import collate
from omni.losses import Losses, compute_losses, corrupt_inputs, loss_names, targets_of
from omni.modality import AUDIO, IMAGE
from omni.nn.config import AudioHeadConfig, ImageHeadConfig, MoEConfig, TextHeadConfig
from omni.nn.noise import Noise
from omni.sequence import OmniBatch, Sequence
from tests.tiny import tiny_documents
from tests.tiny_model import sequences_of, tiny_model

END = 9  # Q in the worked document


def worked_document() -> Sequence:
    """A prompt of one word, then a picture of 1 x 2 patches, a clip of three frames and the end."""
    # fmt: off
    #           begin word <image> rows cols patch patch </image> <audio> frame frame frame </audio> end
    modality = [0,    0,   0,      0,   0,   1,    1,    0,       0,      2,    2,    2,    0,       0]
    text_ids = [1,    50,  3,      21,  22,  0,    0,    4,       5,      0,    0,    0,    6,       2]
    loss =     [0,    0,   1,      1,   1,   1,    1,    0,       1,      1,    1,    1,    1,       1]
    clock =    [0,    1,   2,      3,   4,   5,    5,    7,       8,      9,    10,   11,   12,      13]
    column =   [0,    0,   0,      0,   0,   0,    1,    0,       0,      0,    0,    0,    0,       0]
    # fmt: on
    coords = np.array(clock)[:, None] + np.array(column)[:, None] * [0, 0, 1]
    return Sequence(
        modality=np.array(modality, np.uint8),
        text_ids=np.array(text_ids, np.int64),
        coords=coords.astype(np.int64),
        loss=np.array(loss, bool),
        patches=np.array([[0.1, 0.2], [0.3, 0.4]], np.float32),
        codes=np.array([[1, 2], [3, 4], [5, 6]], np.int64),
    )


def documents(count: int = 16) -> list[Sequence]:
    return sequences_of(tiny_documents(count))


# ------------------------------------------------------------------ targets


def test_targets_of_a_worked_document() -> None:
    """Position t predicts position t + 1. The end of the clip is the audio head's, so no text there."""
    document = worked_document()
    targets = targets_of(collate([[document]], row_length=16), END)
    # fmt: off
    #       begin word <image> rows cols patch patch </image> <audio> frame frame frame </audio> end  padding
    text =  [0,   1,   1,      1,   0,   0,    0,    1,       0,      0,    0,    0,    1,       0,   0, 0]
    image = [0,   0,   0,      0,   1,   1,    0,    0,       0,      0,    0,    0,    0,       0,   0, 0]
    audio = [0,   0,   0,      0,   0,   0,    0,    0,       1,      1,    1,    1,    0,       0,   0, 0]
    # fmt: on
    assert targets.text_BS.int().tolist() == [text]
    assert targets.text_ids.tolist() == [3, 21, 22, 5, 2]
    assert targets.image_BS.int().tolist() == [image]
    torch.testing.assert_close(targets.patches, torch.tensor([[0.1, 0.2], [0.3, 0.4]]))
    assert targets.places.tolist() == [[0, 0], [0, 1]]
    assert targets.audio_BS.int().tolist() == [audio]
    assert targets.codes.tolist() == [[1, 2], [3, 4], [5, 6], [END, END]]


def test_an_untrained_end_and_an_untrained_clip_have_no_targets() -> None:
    document = worked_document()
    loss = document.loss.copy()
    loss[9] = loss[12] = False  # the first frame, and the end
    targets = targets_of(collate([[replace(document, loss=loss)]]), END)
    assert targets.codes.tolist() == [[3, 4], [5, 6]]


def test_targets_of_packed_rows_are_those_of_the_documents_one_after_another() -> None:
    """Nothing is predicted across a border: not the next document's opening, not the next row's."""
    docs = documents()
    together = targets_of(collate([docs[:5], docs[5:12], docs[12:]]), END)
    alone = [targets_of(collate([[doc]]), END) for doc in docs]
    for name in ("text_ids", "patches", "places", "codes"):
        expected = torch.cat([getattr(target, name) for target in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=0, atol=0)


def test_counts_equal_those_that_the_plan_reads_off_the_sequence() -> None:
    for document in [worked_document(), *documents()]:
        targets = targets_of(collate([[document]]), END)
        found = [int(mask.sum()) for mask in (targets.text_BS, targets.image_BS, targets.audio_BS)]
        assert found == document.target_counts().tolist(), document.key


# ------------------------------------------------------------------ losses


def losses_of(batch: OmniBatch, **changes: Any) -> Losses:
    model = tiny_model(dtype=torch.float64, **changes)
    return compute_losses(model, model(batch), batch)


def test_text_and_audio_sums_equal_a_loop_over_positions() -> None:
    model, batch = tiny_model(), collate([documents()])
    hidden = model(batch)
    targets = targets_of(batch, model.audio_head.end)
    losses = compute_losses(model, hidden, batch)
    text = 0.0
    frames, audio = iter(batch.codes), 0.0
    row, ids, loss = batch.modality[0], batch.text_ids[0], batch.loss[0]
    for t in range(len(row) - 1):
        frame = next(frames) if row[t + 1] == AUDIO.id else None
        if not loss[t + 1]:
            continue
        x = hidden.x_BSD[0, t]
        if row[t] == AUDIO.id and frame is None:
            audio += model.audio_head.loss(x[None], torch.full((1, 3), model.audio_head.end))[0].item()
        elif frame is not None:
            audio += model.audio_head.loss(x[None], frame[None])[0].item()
        elif row[t + 1] != IMAGE.id:
            text += F.cross_entropy(model.text_head(x)[None], ids[t + 1 : t + 2]).item()
    assert losses.sums_M[0].item() == pytest.approx(text, rel=1e-4)
    assert losses.sums_M[2].item() == pytest.approx(audio, rel=1e-4)
    assert losses.counts_M.tolist() == [len(targets.text_ids), len(targets.patches), len(targets.codes)]
    assert loss_names() == ["text", "image", "audio"]


def test_total_is_weighted_and_divided_by_the_counts_of_the_whole_step() -> None:
    parts: dict[str, Any] = {
        "text": TextHeadConfig(loss_weight=0.3),
        "image": ImageHeadConfig(width=24, depth=1, draws=2, loss_weight=2.0),
        "audio": AudioHeadConfig(width=24, depth=1, loss_weight=0.7),
        "moe": MoEConfig(experts=4, top_k=2, expert_width=16, z_loss=0.01),
    }
    batch = collate([documents()], None, targets=[1000, 200, 300], step_positions=5000)
    losses = losses_of(batch, **parts)
    text, image, audio = losses.sums_M.tolist()
    layers = 2
    expected = 0.3 * text / 1000 + 2.0 * image / 200 + 0.7 * audio / 300
    expected += 0.01 * losses.router_z.item() / (5000 * layers)
    assert losses.total.item() == pytest.approx(expected, rel=1e-6)


def test_the_text_z_loss_is_in_the_total_and_not_in_the_nats() -> None:
    batch = collate([documents()])
    without, with_z = (losses_of(batch, text=TextHeadConfig(z_loss=z)) for z in (0.0, 0.01))
    assert with_z.sums_M.equal(without.sums_M)
    model = tiny_model(dtype=torch.float64)
    logits = model.text_head.linear(model(batch).x_BSD[targets_of(batch, model.audio_head.end).text_BS])
    z = logits.logsumexp(-1).square().mean().item()
    assert (with_z.total - without.total).item() == pytest.approx(0.01 * z, rel=1e-6)


@pytest.mark.parametrize(
    ("kept", "absent"),
    [(6, [1, 2]), (2, [1]), (0, [1, 2])],
    ids=["running text", "speech to text", "picture to text"],
)
def test_losses_of_absent_modalities_are_zero_and_gradients_finite(kept: int, absent: list[int]) -> None:
    """Their weights get gradients of zeros, which other ranks add to."""
    model, batch = tiny_model(), collate([[documents()[kept]]])
    losses = compute_losses(model, model(batch), batch)
    losses.total.backward()
    assert [i for i, count in enumerate(losses.counts_M.tolist()) if count == 0][: len(absent)] == absent
    assert all(losses.sums_M[i] == 0 for i in absent)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_batch_without_any_target_costs_nothing_but_the_router() -> None:
    document = worked_document()
    silent = replace(documents()[0], loss=np.zeros_like(documents()[0].loss))
    losses = losses_of(collate([[silent]]))
    assert losses.sums_M.tolist() == [0, 0, 0]
    assert 0 < losses.total.item() < 0.01
    assert document.target_counts().tolist() == [5, 2, 4]


def test_padding_does_not_count_for_the_router() -> None:
    docs = documents(3)
    full, padded = collate([docs]), collate([docs], row_length=900)
    assert padded.step_positions == full.step_positions
    torch.testing.assert_close(losses_of(padded).router_z, losses_of(full).router_z)


# ------------------------------------------------------------------ what training corrupts


def corrupted(batch: OmniBatch, seed: int = 0, first_row: int = 0) -> OmniBatch:
    model = tiny_model(
        image=ImageHeadConfig(width=24, depth=1, draws=2, input_noise=0.5),
        audio=AudioHeadConfig(width=24, depth=1, input_corruption=0.8),
    )
    numbered = replace(batch, row_numbers=tuple(range(first_row, first_row + len(batch.modality))))
    return corrupt_inputs(numbered, model, Noise.of_rows(numbered, seed))


def test_text_targets_and_prompts_are_left_alone() -> None:
    batch = collate([documents()[:8], documents()[8:]])
    read = corrupted(batch)
    for name in ("modality", "text_ids", "coords", "loss", "targets"):
        assert getattr(read, name).equal(getattr(batch, name)), name
    own_F = batch.loss[batch.of(AUDIO)]
    assert own_F.any()
    assert not own_F.all()
    wrong_F = (read.codes != batch.codes).any(-1)
    assert wrong_F[own_F].float().mean() > 0.3
    assert not wrong_F[~own_F].any(), "codes of a prompt are read as they are"
    assert (read.patches != batch.patches).any(-1).all()
    assert (read.patches - batch.patches).std() < 0.5, "uniform from 0 to the most, so less than the most"
    assert read.codes.min() >= 0
    assert read.codes.max() < 16


def test_how_much_is_corrupted_differs_by_document() -> None:
    docs = [documents()[1]] * 40  # one that draws a picture
    noise = (corrupted(collate([docs])).patches - collate([docs]).patches).view(40, -1).std(1)
    assert noise.min() < 0.1, noise
    assert noise.max() > 0.4, noise


def test_no_corruption_where_it_is_off() -> None:
    model = tiny_model(
        image=ImageHeadConfig(width=24, depth=1, input_noise=0.0),
        audio=AudioHeadConfig(width=24, depth=1, input_corruption=0.0),
    )
    batch = collate([documents()])
    read = corrupt_inputs(
        batch, model, Noise.of_rows(replace(batch, row_numbers=tuple(range(len(batch.modality)))), seed=0)
    )
    assert read.patches.equal(batch.patches)
    assert read.codes.equal(batch.codes)


def test_noise_of_a_row_depends_on_its_number_alone() -> None:
    """Two rows in one batch, or each in its own: the same noise. Another number or seed: another noise."""
    rows = [documents()[:8], documents()[8:]]
    together = corrupted(collate(rows), first_row=6)
    alone = [corrupted(collate([row]), first_row=number) for number, row in zip((6, 7), rows, strict=True)]
    assert together.patches.equal(torch.cat([batch.patches for batch in alone]))
    assert together.codes.equal(torch.cat([batch.codes for batch in alone]))
    assert not corrupted(collate(rows), first_row=7).patches.equal(together.patches)
    assert not corrupted(collate(rows), seed=1, first_row=6).patches.equal(together.patches)


def test_noise_of_evaluation_depends_on_the_key_alone() -> None:
    docs = documents()
    forward = losses_of(collate([docs[:8], docs[8:]]))
    backward = losses_of(collate([docs[::-1]]))
    torch.testing.assert_close(forward.sums_M, backward.sums_M)
    renamed = [replace(doc, key=f"other{doc.key}") for doc in docs]
    assert losses_of(collate([renamed])).sums_M[1] != forward.sums_M[1]
