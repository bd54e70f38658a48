"""Text that a model answers to held-out documents, to be compared with their own."""

from __future__ import annotations

from collections.abc import Mapping

from omni.evaluation.comparison import Answer
from omni.evaluation.evaluate import Generate, answers_to
from omni.evaluation.tasks import Task, split_prompt, task_of
from omni.modality import TEXT
from omni.sequence import Document


def text_answers(generate: Generate, documents: Mapping[int, Document], batch_size: int = 64) -> list[Answer]:
    """Answers to those documents that ask for text; the documents stand by their numbers."""
    groups: dict[Task, list[int]] = {}
    for number, document in documents.items():
        task = task_of(document)
        if isinstance(task, Task) and task.want is TEXT:
            groups.setdefault(task, []).append(number)
    found = []
    for task, numbers in groups.items():
        for start in range(0, len(numbers), batch_size):
            part = numbers[start : start + batch_size]
            said = answers_to(generate, task, [documents[number] for number in part])
            for number, answer in zip(part, said, strict=True):
                reference = split_prompt(documents[number])[1]
                found.append(Answer(number, documents[number].source, reference, answer))
    return found
