"""Evaluation while training goes on: held-out documents and exams, split over the ranks, each example once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import lightning

from omni.callbacks.agreement import told_by_all
from omni.callbacks.steps import AfterSteps
from omni.choice import Choice
from omni.evaluation.choices import choice_tallies, choose_options
from omni.evaluation.comparison import answer_tallies
from omni.evaluation.losses import loss_tallies
from omni.evaluation.metrics.tally import Tally, merged
from omni.evaluation.scorer import DocumentScorer
from omni.evaluation.text_answers import text_answers
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.sequence import Document, OmniBatch, Segment
from omni.sequence import Sequence as Positions
from omni.training.pretrain import Pretrain
from omni.training.whole import whole_model


@runtime_checkable
class Share(Protocol):
    """Reads what falls to one rank."""

    def documents(self, folder: str, codec: str, limit: int | None, start: int = 0) -> dict[int, Document]:
        """Documents of shards by number, of the first ``limit``, counted from ``start``."""
        ...

    def choices(self, file: str, limit: int | None, start: int = 0) -> dict[int, Choice]:
        """Questions of an exam by number."""
        ...

    def collate(self, rows: list[list[Positions]]) -> OmniBatch:
        """The batch of these sequences."""
        ...


@runtime_checkable
class HoldsOut(Protocol):
    """A data module that reads held-out data."""

    def held_out(self) -> Share:
        """The share of this rank."""
        ...


class Evaluation(AfterSteps):
    """Logs ``eval/FIGURE``: losses of every source and modality, text answers against references, exams.

    The figures are those of ``omni eval``; of answers, only text is generated (the likeliest), while pictures and
    sound are measured by their loss. What is logged doesn't depend on the number of ranks.
    """

    def __init__(
        self,
        data: Sequence[str] = (),
        choices: Sequence[str] = (),
        every_n_steps: int = 0,
        every_n_positions: int = 0,
        limit: int | None = 256,
        max_text: int = 64,
        chat: bool = True,
    ) -> None:
        """
        Args:
            data: folders or URLs of held-out shards.
            choices: JSONL files of questions with options.
            every_n_steps: steps between two evaluations; 0 where ``every_n_positions`` says it.
            every_n_positions: the same in trained positions (tokens, patches, frames), padding not counted.
            limit: first documents of each folder and first questions of each file that are taken; all with null.
            max_text: tokens of an answer at most; 0 to generate none.
            chat: options are answers of the assistant; otherwise they continue the question.

        Raises:
            ValueError: nothing to evaluate on, no interval or two, or one of the numbers is negative.
        """
        if not data and not choices:
            raise ValueError("nothing to evaluate on: give data (folders of shards) or choices (JSONL files)")
        for name, value, least in (
            ("every_n_steps", every_n_steps, 0),
            ("every_n_positions", every_n_positions, 0),
            ("max_text", max_text, 0),
            ("limit", limit if limit is not None else 1, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if bool(every_n_steps) == bool(every_n_positions):
            raise ValueError(
                f"give one interval, every_n_steps or every_n_positions, got {every_n_steps} and {every_n_positions}"
            )
        self.data, self.choices, self.limit = tuple(data), tuple(choices), limit
        self.every_n_steps, self.every_n_positions = every_n_steps, every_n_positions
        self.max_text, self.chat = max_text, chat
        self.positions = 0
        self.tallies: list[Tally] = []
        """Of the latest evaluation, over all ranks."""

    @property
    def state_key(self) -> str:
        """Of its own for every evaluation: a run may have several."""
        return self._generate_state_key(data=self.data, choices=self.choices)

    def step_ended(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch
    ) -> None:
        """Evaluate where it is time."""
        before, self.positions = self.positions, self.positions + batch.step_positions
        if self.every_n_steps:
            due = trainer.global_step % self.every_n_steps == 0
        else:
            due = self.positions // self.every_n_positions > before // self.every_n_positions
        if due:
            self.evaluate(trainer, module)

    def evaluate(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Measure this rank's share, put the shares together, and log.

        Raises:
            ValueError: a data module that holds nothing out, or bad data.
        """
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, HoldsOut) or not isinstance(module, Pretrain):
            raise ValueError(
                f"evaluation needs a data module with held_out() and a Pretrain module, got "
                f"{type(data).__name__} and {type(module).__name__}"
            )
        with _evaluating(module):
            own = self._measure(module, data.held_out())
        self.tallies = merged(told_by_all(trainer, own))
        for tally in self.tallies:
            module.log(f"eval/{tally.name}", tally.value)

    def _measure(self, module: Pretrain, share: Share) -> list[Tally]:
        omni = Omni(whole_model(module.model), module.tokenizers)
        scorer = DocumentScorer(omni.model, omni.layout, share.collate)
        codec = module.tokenizers.audio.fingerprint
        documents: dict[int, Document] = {}
        for folder in range(len(self.data)):
            documents |= share.documents(self.data[folder], codec, self.limit, folder * NUMBERS)
        exams: dict[int, Choice] = {}
        for file in range(len(self.choices)):
            exams |= share.choices(self.choices[file], self.limit, file * NUMBERS)
        tallies = loss_tallies(scorer, documents)
        if self.max_text:
            options = SamplingOptions(max_text=self.max_text)

            def generate(prompts: list[Sequence[Segment]], want: str) -> list[list[Segment]]:
                return omni.generate_batch(prompts, want, options)  # type: ignore[arg-type]

            tallies += answer_tallies(text_answers(generate, documents))
        chosen = choose_options(scorer, list(exams.values()), self.chat)
        return tallies + choice_tallies(dict(zip(exams, chosen, strict=True)))

    def state_dict(self) -> dict[str, Any]:
        """Positions that were trained on."""
        return {"positions": self.positions}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.positions = state_dict["positions"]


NUMBERS = 1 << 40
"""Numbers that are kept for the documents of one folder, so that no two documents have the same."""


@contextmanager
def _evaluating(module: Pretrain) -> Iterator[None]:
    """The model in evaluation mode, and back as it was."""
    was = module.model.training
    module.model.eval()
    try:
        yield
    finally:
        module.model.train(was)
