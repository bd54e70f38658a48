"""Generation in every modality: equal to recomputation, equal in a batch and alone, and within its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from omni.datamodules.collate import collate
from omni.inference.batcher import Batcher, EngineConfig
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.inference.row import Phase, Row
from omni.modality import AUDIO, IMAGE, TEXT, ModalityName, modality_named
from omni.nn.config import MoEConfig
from omni.sequence import Audio, Image, Segment, Text
from tests.inference.asking import DRAWN, GREEDY, PROMPTS, Scripted, ids, same
from tests.nn.moe_layer import GROUPS
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_model

WANTS: list[ModalityName | None] = ["text", "image", "audio", None]


@pytest.fixture
def omni() -> Omni:
    return Omni(tiny_model(), tiny_tokenizers())


def row_of(omni: Omni, prompt: list[Segment], want: ModalityName | None, options: SamplingOptions) -> Row:
    asked = [replace(segment, role="user") for segment in prompt]
    guided = options.image_guidance != 1 or options.audio_guidance != 1
    return Row(omni.layout, asked, "assistant", want, options, guided)


def generate(omni: Omni, rows: list[Row], **sizes: Any) -> None:
    """Grow rows until they are done."""
    batcher = Batcher(omni.model, omni.layout, EngineConfig(**sizes))
    for row in rows:
        batcher.add(row)
    while batcher.lanes:
        for row in batcher.step():
            if row.phase is Phase.DONE:
                batcher.remove(row)


def scripted(omni: Omni, tokens: Seq[int]) -> Omni:
    omni.model.text_head = Scripted(tokens)  # type: ignore[assignment]
    return omni


# ------------------------------------------------------------------ the cache equals recomputation


def outputs_of(module: nn.Module, run: Callable[[], object]) -> list[Tensor]:
    """What ``module`` gives in each of its calls while ``run`` runs."""
    seen: list[Tensor] = []
    hook = module.register_forward_hook(lambda _module, _inputs, out: seen.append(out.detach()))
    run()
    hook.remove()
    return seen


@pytest.mark.parametrize("want", WANTS, ids=str)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_hidden_states_equal_those_of_the_whole_sequence_at_once(
    omni: Omni, prompt: str, want: ModalityName | None
) -> None:
    assert_cached_equals_whole(omni, PROMPTS[prompt], want)


@pytest.mark.parametrize("want", WANTS, ids=str)
@pytest.mark.parametrize("mode", ["grouped", "hybrid"])
def test_so_they_do_where_modalities_have_experts_of_their_own(mode: str, want: ModalityName | None) -> None:
    moe = MoEConfig(expert_width=16, **GROUPS[mode])
    omni = Omni(tiny_model(moe=moe), tiny_tokenizers())
    assert_cached_equals_whole(omni, PROMPTS["picture and clip"], want)


def assert_cached_equals_whole(omni: Omni, prompt: list[Segment], want: ModalityName | None) -> None:
    row = row_of(omni, prompt, want, DRAWN)
    prefill, *steps = outputs_of(omni.model.norm, lambda: generate(omni, [row]))
    cached = torch.cat([prefill[0], *(step[0] for step in steps)])
    whole = omni.layout.finish(row.builder, "answer")
    with torch.no_grad():
        at_once = omni.model(collate([[whole]])).x_BSD[0]
    assert len(cached) == len(whole) - 1, "the last position is laid down and not read"
    assert len(whole) > row.prompt_length
    torch.testing.assert_close(cached, at_once[:-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("want", WANTS, ids=str)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_each_choice_is_that_of_the_head_on_the_whole_sequence(
    omni: Omni, prompt: str, want: ModalityName | None
) -> None:
    """Read the answer as if it were given, and ask each head what comes next: it says what was generated."""
    row = row_of(omni, PROMPTS[prompt], want, GREEDY)
    generate(omni, [row])
    model, layout = omni.model, omni.layout
    whole = layout.finish(row.builder, "answer")
    with torch.no_grad():
        x_LD = model(collate([[whole]])).x_BSD[0]
    noise = torch.Generator().manual_seed(GREEDY.seed)
    patch, frame = (int((whole.modality[: row.prompt_length] == m.id).sum()) for m in (IMAGE, AUDIO))
    control = sorted(tiny_tokenizers().text.control_ids)
    checked = Counter[int]()
    for t in range(row.prompt_length - 1, len(whole) - 1):
        hidden, following = x_LD[t : t + 1], int(whole.modality[t + 1])
        if following == IMAGE.id:
            coords = torch.from_numpy(whole.coords[t + 1 : t + 2])
            start = torch.randn(1, 16, generator=noise)
            expected = model.image_head.sample(
                hidden, coords[:, 1:] - coords[:, :1], start, GREEDY.image_steps
            )
            got = torch.from_numpy(whole.patches[patch : patch + 1])
            torch.testing.assert_close(got, expected.clip(-1, 1), rtol=0, atol=1e-4)
            patch += 1
        elif following == AUDIO.id:
            may_end = int(whole.modality[t]) == AUDIO.id  # not before the first frame
            codes = model.audio_head.sample(hidden, partial(greedy_code, may_end=may_end))
            assert codes[0].tolist() == whole.codes[frame].tolist()
            frame += 1
        elif int(whole.text_ids[t + 1]) not in control:
            logits = model.text_head(hidden)[0]
            logits[control] = -torch.inf
            assert int(whole.text_ids[t + 1]) == int(logits.argmax())
        else:
            continue
        checked[following] += 1
    wanted = modality_named(want) if want else TEXT
    assert checked[wanted.id] >= 1, checked


def greedy_code(logits_FQ: Tensor, level: int, may_end: bool) -> Tensor:
    return (logits_FQ if may_end else logits_FQ[:, :-1]).argmax(-1)


def test_a_model_whose_experts_choose_positions_can_not_generate() -> None:
    moe = MoEConfig(experts=4, expert_width=16, choice="experts")
    omni = Omni(tiny_model(moe=moe), tiny_tokenizers())
    with pytest.raises(ValueError, match=r"^a model with model\.network\.moe\.choice experts can't generate"):
        omni.generate(PROMPTS["text"])
    dense = Omni(tiny_model(moe=replace(moe, dense_layers=2)), tiny_tokenizers())
    assert dense.generate(PROMPTS["text"], "text", GREEDY), "without any experts nothing looks ahead"


# ------------------------------------------------------------------ batches


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("want", WANTS, ids=str)
def test_an_answer_is_the_same_in_a_batch_and_alone(
    omni: Omni, want: ModalityName | None, guidance: float
) -> None:
    """Prompt i has the noise of seed + i. Rows end at different times, so the batch is compacted on the way."""
    options = replace(DRAWN, image_guidance=guidance, audio_guidance=guidance, seed=7)
    prompts = [*PROMPTS.values(), *PROMPTS.values()]
    together = omni.generate_batch(prompts, want, options)
    lengths = set()
    for number, (prompt, answer) in enumerate(zip(prompts, together, strict=True)):
        alone = omni.generate(prompt, want, replace(options, seed=7 + number))
        assert same(answer, alone), (number, answer, alone)
        lengths.add(str(answer))
    assert len(lengths) > 4, "the same prompt at another place has other noise"


def test_same_seed_same_answer_another_seed_another(omni: Omni) -> None:
    first = omni.generate(PROMPTS["text"], "audio", DRAWN)
    assert same(first, omni.generate(PROMPTS["text"], "audio", DRAWN))
    others = [omni.generate(PROMPTS["text"], "audio", replace(DRAWN, seed=seed)) for seed in range(1, 5)]
    assert not all(same(first, other) for other in others)


def test_progress_ends_at_the_number_of_prompts(omni: Omni) -> None:
    seen: list[int] = []
    omni.generate_batch(list(PROMPTS.values()), "audio", DRAWN, on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(PROMPTS)


def test_no_prompts_no_answers(omni: Omni) -> None:
    assert omni.generate_batch([]) == []


# ------------------------------------------------------------------ what is wanted


@pytest.mark.parametrize(("want", "kind"), [("text", Text), ("image", Image), ("audio", Audio)])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_wanted_modality_is_what_comes(omni: Omni, prompt: str, want: ModalityName, kind: type) -> None:
    (answer,) = omni.generate(PROMPTS[prompt], want, DRAWN)
    assert isinstance(answer, kind)
    assert answer.role == "assistant"
    if isinstance(answer, Text):
        assert answer.text


def test_left_free_the_model_mixes_modalities(omni: Omni) -> None:
    """Here a scripted text head says: three, a picture of 2 x 1 patches, a clip, one, the end."""
    tokens = ids("three", "<|image|>", 2, 1, "<|audio|>", "one", "<|end|>")
    options = replace(GREEDY, max_text=30)
    first, drawn, said, last = scripted(omni, tokens).generate(PROMPTS["text"], None, options)
    assert first == Text("three", role="assistant")
    assert isinstance(drawn, Image)
    assert drawn.pixels.shape == (8, 4, 3)
    assert isinstance(said, Audio)
    assert said.codes is not None
    assert 1 <= len(said.codes) <= 15
    assert last == Text("one", role="assistant")


def test_a_wanted_picture_ends_the_answer(omni: Omni) -> None:
    (drawn,) = scripted(omni, ids(3, 2)).generate(PROMPTS["text"], "image", GREEDY)
    assert isinstance(drawn, Image)
    assert drawn.pixels.shape == (12, 8, 3)


def test_an_empty_answer_is_an_empty_text(omni: Omni) -> None:
    assert scripted(omni, ids("<|end|>")).generate(PROMPTS["text"], None, GREEDY) == [
        Text("", role="assistant")
    ]


def test_a_wanted_text_is_not_empty(omni: Omni) -> None:
    """The head would end at once, but may only after its first token."""
    (answer,) = scripted(omni, ids("<|end|>", "<|end|>")).generate(PROMPTS["text"], "text", GREEDY)
    assert isinstance(answer, Text)
    assert answer.text


def test_without_chat_the_document_goes_on(omni: Omni) -> None:
    answer = scripted(omni, ids("two", "<|end|>")).generate([Text("one plus ")], None, GREEDY, chat=False)
    assert answer == [Text("two")]
    with pytest.raises(ValueError, match="an empty prompt can't be continued"):
        omni.generate([], chat=False)


def test_given_roles_are_kept(omni: Omni) -> None:
    row = row_of(omni, PROMPTS["text"], "text", GREEDY)
    talk = [
        Text("be brief", role="system"),
        Text("one?", role="user"),
        Text("yes", role="assistant"),
        Text("two?"),
    ]
    asked = [replace(segment, role=segment.role or "user") for segment in talk]
    row = Row(omni.layout, asked, "assistant", "text", GREEDY, guided=False)
    expected = ids("<|begin|>", "<|system|>", "be brief", "<|end|>", "<|user|>", "one?", "<|end|>")
    expected += ids("<|assistant|>", "yes", "<|end|>", "<|user|>", "two?", "<|end|>", "<|assistant|>")
    assert row.builder.text_ids == expected


# ------------------------------------------------------------------ limits


def test_grids_stay_within_the_tokenizer(omni: Omni) -> None:
    """At most 8 rows or columns, and 16 patches of 4 x 4 pixels, whatever the text head would like."""
    options = replace(GREEDY, temperature=20.0, image_steps=1)  # almost all sizes alike
    answers = omni.generate_batch([PROMPTS["text"]] * 60, "image", options)
    grids = {(a.pixels.shape[0] // 4, a.pixels.shape[1] // 4) for (a,) in answers if isinstance(a, Image)}
    assert len(grids) > 10
    assert all(rows * cols <= 16 and max(rows, cols) <= 8 for rows, cols in grids), grids


def test_text_stops_at_its_limit(omni: Omni) -> None:
    row = row_of(omni, PROMPTS["text"], "text", replace(GREEDY, max_text=5))
    scripted(omni, ids("one", "one", "one") * 5)
    generate(omni, [row])
    assert len(row.builder.modality) - row.prompt_length == 5


@pytest.mark.parametrize(("liked", "frames"), [(16, 1), (3, 5)], ids=["ends at once", "never ends"])
def test_a_clip_has_one_frame_at_least_and_stops_at_its_limit(
    omni: Omni, monkeypatch: pytest.MonkeyPatch, liked: int, frames: int
) -> None:
    """Of 16 codes, the 17th value of code 0 is the end. 0.2 seconds are 5 frames."""

    def sample(hidden_FD: Tensor, choose: Callable[[Tensor, int], Tensor], *_: object) -> Tensor:
        logits = torch.zeros(len(hidden_FD), 17)
        logits[:, liked] = 10.0
        return choose(logits, 0)[:, None].expand(-1, 3)

    monkeypatch.setattr(omni.model.audio_head, "sample", sample)
    (answer,) = omni.generate(PROMPTS["text"], "audio", replace(GREEDY, max_audio_seconds=0.2))
    assert isinstance(answer, Audio)
    assert answer.codes is not None
    assert len(answer.codes) == frames


# ------------------------------------------------------------------ guidance


def test_guidance_of_1_needs_no_twin(omni: Omni) -> None:
    for want in WANTS:
        prompt = PROMPTS["picture"]
        rows = [
            row_of(omni, prompt, want, GREEDY),
            row_of(omni, prompt, want, replace(GREEDY, image_guidance=1.0)),
        ]
        rows[1].twin = rows[1]._opened([], "assistant")
        answers = []
        for row in rows:
            generate(omni, [row])
            answers.append(row.answer())
        assert same(*answers), want


@pytest.mark.parametrize("want", ["image", "audio"])
def test_guidance_of_0_ignores_the_prompt(omni: Omni, want: ModalityName) -> None:
    """It follows the twin, which never saw the prompt. (The grid is the prompt's choice, so it is scripted.)"""
    options = replace(DRAWN, image_guidance=0.0, audio_guidance=0.0)
    grid = ids(2, 2)
    answers = [
        scripted(omni, grid).generate(PROMPTS[prompt], want, options) for prompt in ("picture", "clip")
    ]
    unprompted = scripted(omni, grid).generate(
        [], want, replace(options, image_guidance=1.0, audio_guidance=1.0)
    )
    assert same(answers[0], unprompted)
    assert same(answers[1], unprompted)


@pytest.mark.parametrize("want", ["image", "audio"])
def test_guidance_changes_the_answer(omni: Omni, want: ModalityName) -> None:
    plain = scripted(omni, ids(2, 2)).generate(PROMPTS["picture"], want, DRAWN)
    guided = replace(DRAWN, image_guidance=5.0, audio_guidance=5.0)
    assert not same(plain, scripted(omni, ids(2, 2)).generate(PROMPTS["picture"], want, guided))
