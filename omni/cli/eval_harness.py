"""Tasks of ``lm-eval`` and ``lmms-eval`` for ``omni eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omni.evaluation.scorer import DocumentScorer
from omni.inference.omni import Omni

NORMAL_95 = 1.96
"""Standard errors on both sides of a mean that hold 95 %."""

HarnessFigures = tuple[dict[str, float], dict[str, tuple[float, float]], dict[str, int]]
"""Metrics, intervals and numbers of documents, by ``TASK_METRIC``."""


def run_text_tasks(
    omni: Omni,
    scorer: DocumentScorer,
    tasks: list[str],
    folder: Path | None = None,
    limit: int | None = None,
    chat: bool = False,
) -> HarnessFigures:
    """Run tasks of ``lm-eval``: its own by name, or those of a folder of task files alone, if one is given.

    Raises:
        ImportError: ``lm-eval`` is not installed.
        ValueError: an unknown task.
    """
    from omni.evaluation.harness.text import OmniTextLM  # says what to install

    from lm_eval import simple_evaluate  # isort: skip
    from lm_eval.tasks import TaskManager  # isort: skip

    manager = TaskManager(include_path=_path(folder), include_defaults=folder is None)
    _check(tasks, manager.all_tasks, folder)
    model = OmniTextLM(omni, scorer, chat)
    return _figures(
        simple_evaluate(model, tasks=list(tasks), limit=limit, task_manager=manager, bootstrap_iters=1000)
    )


def run_multimodal_tasks(
    omni: Omni,
    scorer: DocumentScorer,
    tasks: list[str],
    folder: Path | None = None,
    limit: int | None = None,
) -> HarnessFigures:
    """Run tasks of ``lmms-eval``, as ``run_text_tasks`` does.

    Raises:
        ImportError: ``lmms-eval`` is not installed.
        ValueError: an unknown task.
    """
    from omni.evaluation.harness.multimodal import OmniMultimodalLM  # says what to install

    from lmms_eval.evaluator import simple_evaluate  # isort: skip
    from lmms_eval.tasks import TaskManager  # isort: skip

    manager = TaskManager(include_path=_path(folder), include_defaults=folder is None)
    _check(tasks, manager.all_tasks, folder)
    model = OmniMultimodalLM(omni, scorer)
    return _figures(
        simple_evaluate(model, tasks=list(tasks), limit=limit, task_manager=manager, bootstrap_iters=1000)
    )


def _path(folder: Path | None) -> str | None:
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of task files")
    return str(folder) if folder is not None else None


def _check(tasks: list[str], known: list[str], folder: Path | None) -> None:
    if unknown := sorted(set(tasks) - set(known)):
        where = f"{folder} has {sorted(known)}" if folder is not None else f"there are {len(known)}"
        raise ValueError(f"unknown tasks {unknown}: {where}")


def _figures(found: Any) -> HarnessFigures:
    """The numbers of all tasks, with intervals where the harness gives a standard error."""
    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    counts: dict[str, int] = {}
    for task, values in found["results"].items():
        for key, value in values.items():
            metric, _, chosen_by = key.partition(",")
            if not isinstance(value, int | float) or metric.endswith("_stderr"):
                continue
            name = f"{task}_{metric}" + (f"_{chosen_by}" if chosen_by not in ("", "none") else "")
            metrics[name], counts[name] = float(value), int(found["n-samples"][task]["effective"])
            spread = values.get(f"{metric}_stderr,{chosen_by}")
            if isinstance(spread, int | float):
                intervals[name] = (value - NORMAL_95 * spread, value + NORMAL_95 * spread)
    return metrics, intervals, counts
