"""A cascade: recognisers that hand plain text to a language model, and synthesisers that make its answer seen or heard.

Each stage is a model of this project that was trained alone. What GPT-4o replaced, it is here to be compared with:
whatever plain text does not say of a picture or a voice is lost between its stages.

    FOLDER/cascade.json   {"format": "omni cascade", "version": 1, "stages": {"text_to_text": "../text.ckpt", ...}}
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path

import torch

from omni.baselines.transcripts import STAGES, in_words
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.modality import MODALITIES, TEXT, ModalityName, modality_named
from omni.sequence import Segment, Text

FILE = "cascade.json"
FORMAT, VERSION = "omni cascade", 1
LANGUAGE = "text_to_text"
"""The stage that every cascade has."""


class Cascade:
    """Stages that answer as one system. ``model``, ``layout`` and ``tokenizers`` are those of its language model."""

    def __init__(self, stages: Mapping[str, Omni]) -> None:
        """
        Raises:
            ValueError: an unknown stage, no language model, or stages with different tokenizers.
        """
        check_stages(stages)
        self.stages = dict(stages)
        language = self.stages[LANGUAGE]
        self.model, self.layout, self.tokenizers = language.model, language.layout, language.tokenizers
        for name, stage in self.stages.items():
            if stage.tokenizers.files() != self.tokenizers.files():
                raise ValueError(
                    f"the tokenizers of {name} are not those of {LANGUAGE}: train all stages with the same"
                )
        self.seconds: dict[str, float] = {}
        """What each stage took of the last ``generate_batch``, by the clock."""

    @classmethod
    def from_folder(
        cls, folder: Path | str, device: torch.device | str = "cpu", weights: str = "fp32"
    ) -> Cascade:
        """The cascade of a folder with ``cascade.json``; ``device`` and ``weights`` as of ``Omni.from_checkpoint``.

        Raises:
            ValueError: no such file, one of another format, or a stage that can't be loaded.
        """
        paths = read_stages(Path(folder))
        check_stages(paths)
        return cls({name: Omni.from_checkpoint(path, device, weights) for name, path in paths.items()})

    def generate(
        self,
        prompt: Seq[Segment],
        want: ModalityName | None = None,
        options: SamplingOptions | None = None,
        chat: bool = True,
    ) -> list[Segment]:
        """The answer to one prompt: see ``generate_batch``."""
        return self.generate_batch([prompt], want, options, chat)[0]

    def generate_batch(
        self,
        prompts: Seq[Seq[Segment]],
        want: ModalityName | None = None,
        options: SamplingOptions | None = None,
        chat: bool = True,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[Segment]]:
        """Answers to prompts; arguments as of ``Omni.generate_batch``. Unasked, a cascade answers in text.

        Raises:
            ValueError: a prompt or a wish that needs a stage which isn't there.
        """
        options = options or SamplingOptions()
        made = modality_named(want, "want") if want is not None else TEXT
        self._require({segment.modality.name for prompt in prompts for segment in prompt}, made.name)
        self.seconds = {}
        asked = self._in_words(prompts, options)
        answers = self._run(LANGUAGE, asked, TEXT.name, options, chat)
        if made is not TEXT:
            said = [[Text("".join(s.text for s in answer if isinstance(s, Text)))] for answer in answers]
            answers = self._run(f"text_to_{made.name}", said, made.name, options, True)
        if on_progress is not None:
            on_progress(len(prompts))
        return answers

    def _require(self, given: set[ModalityName], want: ModalityName) -> None:
        needed = {f"{name}_to_text" for name in given} | {f"text_to_{want}"}
        if missing := sorted(needed - set(self.stages)):
            raise ValueError(
                f"the cascade has no stage {missing[0]}; it has {', '.join(sorted(self.stages))}"
            )

    def _in_words(self, prompts: Seq[Seq[Segment]], options: SamplingOptions) -> list[list[Segment]]:
        """The prompts as plain text."""
        transcripts: dict[int, str] = {}
        for modality in MODALITIES:
            media = [s for prompt in prompts for s in prompt if s.modality is modality is not TEXT]
            if media:
                alone = [[replace(segment, role="user", loss=False)] for segment in media]
                likeliest = replace(options, temperature=0.0, logprobs=False, top_logprobs=0)
                heard = self._run(f"{modality.name}_to_text", alone, TEXT.name, likeliest, True)
                for segment, answer in zip(media, heard, strict=True):
                    transcripts[id(segment)] = "".join(s.text for s in answer if isinstance(s, Text))
        return [
            [*in_words(prompt, [transcripts[id(s)] for s in prompt if not isinstance(s, Text)])]
            for prompt in prompts
        ]

    def _run(
        self, stage: str, prompts: Seq[Seq[Segment]], want: ModalityName, options: SamplingOptions, chat: bool
    ) -> list[list[Segment]]:
        start = time.perf_counter()
        answers = self.stages[stage].generate_batch(prompts, want, options, chat)
        self.seconds[stage] = time.perf_counter() - start
        return answers


def check_stages(stages: Mapping[str, object]) -> None:
    """
    Raises:
        ValueError: a stage of another name, or none that takes and gives text.
    """
    if unknown := sorted(set(stages) - set(STAGES)):
        raise ValueError(f"unknown stage {unknown[0]!r} of a cascade, expected some of {', '.join(STAGES)}")
    if LANGUAGE not in stages:
        raise ValueError(f"a cascade needs the stage {LANGUAGE}, got {', '.join(sorted(stages)) or 'none'}")


def write_stages(folder: Path, stages: Mapping[str, Path]) -> Path:
    """Write ``cascade.json``, with paths relative to ``folder``; returns its path.

    Raises:
        ValueError: as of ``check_stages``, or a stage that isn't there.
    """
    check_stages(stages)
    for name, path in stages.items():
        if not path.exists():
            raise ValueError(f"{name}: {path}: no such checkpoint")
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: os.path.relpath(path.resolve(), folder.resolve()) for name, path in stages.items()}
    file = folder / FILE
    file.write_text(json.dumps({"format": FORMAT, "version": VERSION, "stages": kept}, indent=1) + "\n")
    return file


def read_stages(folder: Path) -> dict[str, Path]:
    """Paths of the stages of a folder with ``cascade.json``.

    Raises:
        ValueError: no such file, or one of another format.
    """
    file = folder / FILE
    if not file.is_file():
        raise ValueError(f"{file}: no such file; `omni cascade join` writes it")
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file}: not JSON ({error})") from error
    stages = found.get("stages") if isinstance(found, dict) else None
    if not isinstance(stages, dict) or (found.get("format"), found.get("version")) != (FORMAT, VERSION):
        raise ValueError(f"{file}: expected format {FORMAT!r}, version {VERSION}, and stages")
    return {name: folder / path for name, path in stages.items()}
