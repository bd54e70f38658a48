"""Models of each audio layout: their losses, and what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from omni.code_layout import LayoutName
from omni.datamodules.collate import collate
from omni.inference.engine import Engine
from omni.inference.omni import Omni
from omni.inference.request import Request, SoundPiece
from omni.layout import Layout
from omni.losses import compute_losses, corrupt_inputs
from omni.nn.config import AudioHeadConfig
from omni.nn.heads.parallel_audio import ParallelAudioHead
from omni.nn.noise import Noise
from omni.sequence import Audio, OmniBatch, Text
from tests.inference.test_generate import DRAWN, GREEDY, PROMPTS, assert_cached_equals_whole
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_model import tiny_config, tiny_model

LATE: list[LayoutName] = ["delay", "flat"]


def omni_of(layout: LayoutName) -> Omni:
    return Omni(tiny_model(audio=AudioHeadConfig(width=24, depth=1, layout=layout)), tiny_tokenizers())


def batch_of(layout: LayoutName) -> OmniBatch:
    ways = Layout(tiny_tokenizers(), layout)
    return collate([[ways.encode(document) for document in tiny_documents(8)]])


@pytest.mark.parametrize("layout", LATE)
def test_every_weight_learns_and_gaps_stay_gaps(layout: LayoutName) -> None:
    model, batch = omni_of(layout).model, batch_of(layout)
    noisy = corrupt_inputs(batch, model, Noise.of_documents(batch))
    held = (batch.codes >= 0) & (batch.codes < 16)
    assert noisy.codes[~held].equal(batch.codes[~held])
    assert not noisy.codes.equal(batch.codes)
    losses = compute_losses(model, model(noisy), batch)
    losses.total.backward()
    assert losses.counts_M.tolist() == batch.targets.tolist()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_loss_is_that_of_the_codes_that_are_there() -> None:
    """A position of ``flat`` has one code, one of ``delay`` up to K, and each costs what it costs alone."""
    vocabulary = tiny_model().vocabulary
    head = ParallelAudioHead(
        tiny_config(audio=AudioHeadConfig(width=24, depth=1, layout="delay")), vocabulary
    )
    torch.nn.init.normal_(head.logits)
    hidden = torch.randn(4, 32)
    codes = torch.tensor([[1, -1, -1], [-1, 2, 3], [16, 5, -1], [16, 16, 16]])
    nats, first = head.loss(hidden, codes)
    expected = 0.0
    for row, k in [(0, 0), (1, 1), (1, 2), (2, 0), (2, 1), (3, 0)]:
        alone = torch.full((1, 3), -1)
        alone[0, k] = codes[row, k]
        expected += head.loss(hidden[row : row + 1], alone)[0].item()
    assert nats.item() == pytest.approx(expected, rel=1e-5)
    ends = torch.where(torch.arange(3) == 0, codes, -1)
    assert first.item() == pytest.approx(head.loss(hidden, ends)[0].item(), rel=1e-5)


@pytest.mark.parametrize("layout", LATE)
def test_cached_generation_equals_the_whole_sequence_at_once(layout: LayoutName) -> None:
    assert_cached_equals_whole(omni_of(layout), PROMPTS["picture and clip"], "audio")


class Script:
    """An audio head that says the codes of the given frames in the layout's order, then the end."""

    def __init__(self, omni: Omni, codes_FK: np.ndarray) -> None:
        rows = omni.layout.audio.lay(codes_FK, 16)
        self.rows = iter([*rows.clip(0), np.array([16, 0, 0])])

    def __call__(self, hidden_FD: Tensor, *_: object) -> Tensor:
        return torch.from_numpy(next(self.rows))[None]


@pytest.mark.parametrize("layout", ["frame", *LATE])
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_a_clip_is_what_its_head_said(
    layout: LayoutName, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    omni = omni_of(layout)
    codes = np.arange(3 * frames).reshape(frames, 3) % 16
    monkeypatch.setattr(omni.model.audio_head, "sample", Script(omni, codes))
    (said,) = omni.generate([Text("say")], "audio", GREEDY)
    assert isinstance(said, Audio) and said.codes is not None
    assert said.codes.tolist() == codes.tolist()


@pytest.mark.parametrize("layout", LATE)
def test_a_clip_that_never_ends_stops_at_its_limit(
    layout: LayoutName, monkeypatch: pytest.MonkeyPatch
) -> None:
    omni = omni_of(layout)
    monkeypatch.setattr(omni.model.audio_head, "sample", lambda hidden, *_: torch.full((len(hidden), 3), 7))
    request = Request(prompt=[Text("say")], want="audio", options=replace(GREEDY, max_audio_seconds=0.2))
    finished = Engine(omni.model, omni.tokenizers).submit(request).result()
    (said,) = finished.segments
    assert isinstance(said, Audio) and said.codes is not None
    assert said.codes.tolist() == [[7, 7, 7]] * 5, "0.2 seconds at 25 frames a second"
    assert finished.reason == "length"


@pytest.mark.parametrize("layout", LATE)
def test_streamed_sound_is_as_long_as_the_clip(layout: LayoutName) -> None:
    omni = omni_of(layout)
    handle = Engine(omni.model, omni.tokenizers).submit(
        Request(prompt=[Text("say")], want="audio", options=DRAWN, stream=True)
    )
    samples = sum(len(event.waveform) for event in handle if isinstance(event, SoundPiece))
    (said,) = handle.result().segments
    assert isinstance(said, Audio)
    assert samples == len(said.waveform) > 0


@pytest.mark.parametrize("layout", LATE)
def test_a_clip_that_is_cut_keeps_its_whole_frames(
    layout: LayoutName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one position a frame is not whole, so nothing is left of it."""
    omni = omni_of(layout)
    monkeypatch.setattr(omni.model.audio_head, "sample", lambda hidden, *_: torch.full((len(hidden), 3), 7))
    for steps, frames in ((3, 0), (9, 2 if layout == "flat" else 6)):
        engine = Engine(omni.model, omni.tokenizers)
        handle = engine.submit(Request(prompt=[Text("say")], want="audio", options=GREEDY))
        for _ in range(steps):
            engine.step()
        handle.cancel()
        clips = [segment for segment in handle.result().segments if isinstance(segment, Audio)]
        assert [len(clip.codes) for clip in clips if clip.codes is not None] == [frames] * bool(frames)
