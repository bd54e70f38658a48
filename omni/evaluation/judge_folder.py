"""All judges of a corpus in one folder: ``omni eval`` measures by the same ones as the run that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omni.evaluation.grading import Judges
from omni.evaluation.judges.arrays import read_arrays, write_arrays
from omni.evaluation.judges.digits import DigitJudge
from omni.evaluation.judges.pocketsphinx import SphinxJudge
from omni.evaluation.judges.speech import SpeechJudge
from omni.evaluation.metrics.diversity import PictureYardstick
from omni.evaluation.metrics.text import UnigramBaseline
from omni.sequence import Audio, Image
from omni.tokenizers.text import TextTokenizer

PICTURES_FILE = "pictures.npz"
TEXT_FILE = "training_text.npz"


def fit_judges(
    folder: Path,
    pictures: tuple[Sequence[Image], Sequence[str]],
    heldout_pictures: Sequence[Image],
    clips: tuple[Sequence[Audio], Sequence[str]],
    training_texts: Sequence[str],
    seed: int,
) -> None:
    """Fit the judges to real training pictures and original training clips with their words, and save all.

    Args:
        folder: where they go.
        pictures: training pictures of one size, and what each shows.
        heldout_pictures: of the same size; how near real pictures come to training ones is measured on them.
        clips: original (not codec) training recordings, and what each says.
        training_texts: the training prose, which a baseline counts in the tokens of the model that is judged.
        seed: of the speech judge.
    """
    DigitJudge.fit(*pictures).save(folder)
    SpeechJudge.fit(*clips, seed).save(folder)
    write_arrays(
        folder / PICTURES_FILE,
        {
            "train": np.stack([picture.pixels for picture in pictures[0]]),
            "words": np.array(pictures[1]),
            "heldout": np.stack([picture.pixels for picture in heldout_pictures]),
        },
    )
    write_arrays(folder / TEXT_FILE, {"texts": np.array(training_texts)})


def load_judges(folder: Path, text: TextTokenizer) -> Judges:
    """The judges that ``fit_judges`` saved, and PocketSphinx with the same words.

    ``text`` is the tokenizer of the model that is judged.

    Raises:
        ValueError: a file is missing.
    """
    stored = read_arrays(folder / PICTURES_FILE)
    train, heldout = ([Image(pixels) for pixels in stored[name]] for name in ("train", "heldout"))
    speech = SpeechJudge.load(folder)
    prose = [np.array([*text.encode(str(one)), text.end]) for one in read_arrays(folder / TEXT_FILE)["texts"]]
    return Judges(
        digits=DigitJudge.load(folder),
        speech=speech,
        sphinx=SphinxJudge(speech.words),
        pictures=PictureYardstick(train, stored["words"].tolist(), heldout),
        unigram=UnigramBaseline(prose, text.vocab_size),
    )
