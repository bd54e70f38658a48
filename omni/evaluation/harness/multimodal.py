"""``lmms-eval`` on our models: its requests with pictures and sound (v0.7, ``lmms_eval.api.model.lmms``)."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

try:
    from lmms_eval.api.instance import GenerationResult
    from lmms_eval.api.model import lmms
except ImportError as error:
    raise ImportError("lmms-eval is not installed: pip install 'omni[eval-multimodal]'") from error

from omni.evaluation.harness.generation import continued
from omni.evaluation.scorer import DocumentScorer
from omni.inference.omni import Omni
from omni.media import PICTURE_FORMATS, pixels_from_pil
from omni.sequence import Audio, Document, Image, Segment, Text, turn_of


class OmniMultimodalLM(lmms):
    """A model as ``lmms-eval`` sees it: pictures and clips of a document, then its text, are what a user says."""

    is_simple = True

    def __init__(self, omni: Omni, scorer: DocumentScorer, batch_size: int = 64) -> None:
        """
        Args:
            omni: the model.
            scorer: scores by the same model.
            batch_size: answers that are generated together.
        """
        super().__init__()
        self.omni, self.scorer, self.batch = omni, scorer, batch_size

    def loglikelihood(self, requests: Seq[Any]) -> list[GenerationResult]:
        """Nats that each answer costs, without its end, and whether it is the greedy one.

        Costs, not log-likelihoods: ``lmms-eval`` takes the option of the *lowest* value, since its models return
        their loss (``ConfigurableTask.process_results``). Each pair comes wrapped, since the harness turns a bare one
        into a string (``unwrap_generation_output`` of 0.7.3).
        """
        layout = self.omni.layout
        sequences = []
        for context, target, visual, number, task, split in (request.args for request in requests):
            document = self.task_dict[task][split][number]
            answer = str(target(document) if callable(target) else target).strip()
            asked = turn_of(self._prompt(context, visual, document), "user", loss=False)
            said = Document((*asked, Text(answer, role="assistant")), key=f"{task}-{number}")
            sequences.append(layout.finish(layout.encode_open(said), said.key))
        found = self.scorer.text(sequences)
        return [GenerationResult((float(one.nats.sum()), bool(one.greedy.all()))) for one in found]

    def generate_until(self, requests: Seq[Any]) -> list[str]:
        """The model's answer to each document, up to the first stop string."""
        asked = []
        for context, settings, visual, number, task, split in (request.args for request in requests):
            asked.append((self._prompt(context, visual, self.task_dict[task][split][number]), settings))
        return continued(self.omni, asked, chat=True, batch=self.batch)

    def generate_until_multi_round(self, requests: Seq[Any]) -> list[str]:
        """
        Raises:
            ValueError: always; tasks of several rounds can't be put to this model.
        """
        raise ValueError(f"{requests[0].args[-2]}: a task of several rounds, which omni can't be asked")

    def _prompt(self, context: str, visual: Any, document: Any) -> list[Segment]:
        shown = [segment_of(item) for item in visual(document) or () if item is not None]
        return [*shown, Text(context)]


def segment_of(item: Any) -> Segment:
    """A picture or clip in any of the forms that tasks give them: Pillow's, ``datasets``' audio, or a path.

    Raises:
        ValueError: another form, or a file that can't be read.
    """
    if isinstance(item, PILImage.Image):
        return Image(pixels_from_pil(item))
    if isinstance(item, dict) or hasattr(
        item, "get_all_samples"
    ):  # of torchcodec, which datasets lets pass for one
        waveform_W = np.asarray(item["array"], dtype=np.float32)
        return Audio(
            waveform_W if waveform_W.ndim == 1 else waveform_W.mean(axis=0), int(item["sampling_rate"])
        )
    if isinstance(item, str | Path):
        return Image.open(item) if _is_picture(item) else Audio.open(item)
    raise ValueError(f"a document shows a {type(item).__name__}, expected a picture, a clip or a path")


def _is_picture(path: str | Path) -> bool:
    return PILImage.registered_extensions().get(Path(path).suffix.lower()) in PICTURE_FORMATS
