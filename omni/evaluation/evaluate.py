"""Asks a model every question of a held-out set, and has judges mark the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from omni.evaluation.figures import Figures
from omni.evaluation.grading import Judges
from omni.evaluation.metrics.text import ScoredText
from omni.evaluation.results import EvaluationResult, Example
from omni.evaluation.tasks import Reading, Task, split_prompt, task_of
from omni.modality import Modality
from omni.sequence import Document, Segment, Text

Generate = Callable[[list[Sequence[Segment]], str], list[list[Segment]]]
"""Prompts and the name of the wanted modality in, the segments of each answer out."""
ScoreText = Callable[[Sequence[Document]], ScoredText]
"""Documents in, all their text targets and the nats that each cost out."""
Progress = Callable[[str, int, int], None]
"""Called with a source, how many of its documents are done, and how many there are in all."""


def evaluate(
    generate: Generate,
    documents: Iterable[Document],
    judges: Judges,
    *,
    score_text: ScoreText | None = None,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Have an answer generated to every document that asks something, and running text scored.

    Documents are taken source by source, ``batch_size`` at a time. Running text is left out without
    ``score_text``; so are figures whose judge is missing, but not the answers that it would have marked.
    """
    figures = Figures()
    for task, group in _by_task(documents).items():
        examples: list[Example] = []
        scored: list[ScoredText] = []
        for start in range(0, len(group), batch_size):
            part = group[start : start + batch_size]
            if isinstance(task, Task):
                examples += _marked(task, part, answers_to(generate, task, part), judges)
            elif score_text is not None:
                scored.append(score_text(part))
            if progress is not None:
                progress(task.source, start + len(part), len(group))
        if isinstance(task, Task):
            figures.add_answers(task, examples, judges.pictures)
        elif scored:
            figures.add_reading(task, scored, judges.unigram)
    return figures.result()


def _by_task(documents: Iterable[Document]) -> dict[Task | Reading, list[Document]]:
    groups: dict[Task | Reading, list[Document]] = {}
    for document in documents:
        task = task_of(document)
        if task is not None:
            groups.setdefault(task, []).append(document)
    return groups


def answers_to(generate: Generate, task: Task, documents: Sequence[Document]) -> list[Segment | None]:
    """What ``generate`` says to the prompts of a task's documents, in the modality that the task wants.

    Raises:
        ValueError: a document without a prompt, or another number of answers.
    """
    prompts: list[Sequence[Segment]] = [split_prompt(document)[0] for document in documents]
    for document, prompt in zip(documents, prompts, strict=True):
        if not prompt:
            raise ValueError(
                f"{document.where}: a document of {task.source!r} needs a prompt, but its first segment is "
                f"already trained on (loss is true)"
            )
    answers = generate(prompts, task.want.name)
    if len(answers) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts of {task.source!r} got {len(answers)} answers")
    return [_wanted(segments, task.want) for segments in answers]


def _wanted(segments: Sequence[Segment], want: Modality) -> Segment | None:
    """The first segment of the wanted modality; of text, all of it."""
    found = [segment for segment in segments if segment.modality == want]
    texts = [segment.text for segment in found if isinstance(segment, Text)]
    return Text("".join(texts)) if texts else found[0] if found else None


def _marked(
    task: Task, documents: Sequence[Document], answers: Sequence[Segment | None], judges: Judges
) -> list[Example]:
    """The answers as examples, with what each judge of the task says of them."""
    said = {
        figure.judge: judges.verdicts(figure.judge, answers)
        for figure in task.figures
        if getattr(judges, figure.judge) is not None
    }
    examples = []
    for number, (document, answer) in enumerate(zip(documents, answers, strict=True)):
        prompt, reference = split_prompt(document)
        verdicts = {judge: those[number] for judge, those in said.items()}
        expected = {judge: judges.expected(judge, document, reference) for judge in said}
        right = {j: verdicts[j].answer == word for j, word in expected.items() if word is not None}
        examples.append(
            Example(
                key=document.key,
                source=document.source,
                prompt=prompt,
                reference=reference,
                label=document.label,
                answer=answer,
                verdicts=verdicts,
                right=right,
                correct=right.get(task.figures[0].judge),
            )
        )
    return examples
