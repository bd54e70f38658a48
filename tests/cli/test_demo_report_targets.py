"""The demo's targets and the verdicts on them."""

from __future__ import annotations

from omni.cli.demo.report.targets import TARGETS, verdict
from omni.evaluation.tasks import TASKS, Reading
from tests.cli.made_up_results import METRICS, tasks


def test_verdicts() -> None:
    rows = verdict(METRICS, speech_is_synthetic=True)
    assert [(row.target.metric, row.reached_text, row.target_text, row.outcome) for row in rows] == [
        ("seconds", "12.4\u00a0min", "≤\u00a015.0\u00a0min", "met"),
        ("peak_memory_gib", "3.2\u00a0GiB", "≤\u00a06.0\u00a0GiB", "met"),
        ("image_to_text_exact", "95.1\u00a0%", "≥\u00a095.0\u00a0%", "met"),
        ("image_to_text_exact", "95.1\u00a0%", "≥\u00a095.5\u00a0%", "missed"),
        ("chart_to_text_exact", "90.0\u00a0%", "≥\u00a090.0\u00a0%", "met"),
        ("audio_to_text_exact", "94.0\u00a0%", "≥\u00a095.0\u00a0%", "missed"),
        ("text_to_image_judged", "99.0\u00a0%", "≥\u00a095.0\u00a0%", "met"),
        ("text_to_image_diversity", "0.64", "≥\u00a00.60", "met"),
        ("text_to_image_diversity_worst", "0.39", "≥\u00a00.40", "missed"),
        ("text_to_audio_judged", "91.0\u00a0%", "≥\u00a090.0\u00a0%", "met"),
        ("text_to_audio_pocketsphinx", "70.0\u00a0%", "≥\u00a065.0\u00a0%", "met"),
        ("codec_pocketsphinx", "80.0\u00a0%", "≥\u00a085.0\u00a0%", "missed"),
        ("codec_judged", "96.0\u00a0%", "≥\u00a095.0\u00a0%", "met"),
        ("image_to_audio_judged", "82.0\u00a0%", "≥\u00a085.0\u00a0%", "missed"),
        ("audio_to_image_judged", "n/a", "≥\u00a085.0\u00a0%", "not measured"),
        ("arithmetic_exact", "n/a", "≥\u00a090.0\u00a0%", "not measured"),
        ("text_perplexity", "50.00", "<\u00a050.00", "missed"),
    ]


def test_verdict_as_a_line() -> None:
    lines = [str(row) for row in verdict(METRICS, speech_is_synthetic=True)]
    assert lines[3] == "missed       Picture → text, against a specialist: 95.1 % (target ≥ 95.5 %)"
    assert lines[-3] == "not measured Speech → picture: n/a (target ≥ 85.0 %)"


def test_targets_for_recorded_speech() -> None:
    changed = {
        recorded.target.metric: (recorded.bound, recorded.outcome)
        for recorded, synthetic in zip(verdict(METRICS, False), verdict(METRICS, True), strict=True)
        if recorded.bound != synthetic.bound
    }
    assert changed == {"audio_to_text_exact": (0.9, "met"), "image_to_audio_judged": (0.8, "met")}


def test_target_relative_to_a_figure_that_is_missing() -> None:
    rows = verdict({"codec_judged": 0.9, "text_perplexity": 3.0}, speech_is_synthetic=True)
    assert {row.outcome for row in rows} == {"not measured"}


def test_targets_are_on_figures_that_the_evaluation_yields() -> None:
    yielded = {figure.name for task in tasks().values() for figure in task.figures}
    yielded |= {name for task in TASKS if isinstance(task, Reading) for name in (task.figure, task.baseline)}
    judged = {
        t.metric for t in TARGETS if t.metric.endswith(("_exact", "_judged", "_pocketsphinx", "_perplexity"))
    }
    assert judged - {"codec_pocketsphinx", "codec_judged"} <= yielded
