"""Files to try the checkpoint with: held-out inputs, and what the model made."""

from __future__ import annotations

from pathlib import Path

from omni.cli.demo.report.results import DemoResults
from omni.cli.demo.report.samples import samples_figure
from omni.cli.media_file import write_media
from omni.sequence import Audio, Segment


def write_samples(folder: Path, results: DemoResults) -> None:
    """Write ``digit.png``, ``chart.png``, ``clip.wav`` (held-out inputs), ``generated-*`` and ``overview.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    answered = {e.label for e in results.evaluation.of("text_to_audio") if isinstance(e.answer, Audio)}
    spoken = sorted({word for word in answered if word} & set(results.heldout_clips))
    if spoken:
        samples_figure(results, folder / "overview.png", "seven" if "seven" in spoken else spoken[0])
    for source, name in (("image_to_text", "digit"), ("chart_to_text", "chart"), ("audio_to_text", "clip")):
        for example in results.evaluation.of(source)[:1]:
            _write(folder / name, example.prompt[0])
    for source in ("text_to_image", "text_to_audio", "image_to_audio", "audio_to_image"):
        for example in results.evaluation.of(source)[:1]:
            if example.answer is not None:
                _write(folder / f"generated-{source}", example.answer)


def _write(stem: Path, segment: Segment) -> None:
    write_media(stem.with_suffix(f".{segment.modality.answer_suffix}"), segment)
