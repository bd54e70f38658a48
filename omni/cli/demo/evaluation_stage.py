"""The demo's evaluation: judges fitted to real data, the model's answers to held-out documents, and what to show."""

from __future__ import annotations

import argparse
import platform
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import lightning
import numpy as np
import torch
import yaml
from rich.progress import Progress, track

from omni.callbacks.router_use import RouterUse
from omni.cli.demo.report.results import Continuation, DemoResults, HeldOutClip
from omni.cli.eval import evaluate_checkpoint
from omni.cli.lightning_cli import OmniCLI
from omni.datamodules.collate import collate
from omni.datamodules.demo.corpus import DemoCorpus
from omni.datamodules.shards.reader import ShardReader
from omni.evaluation.codec import codec_report, reconstructed
from omni.evaluation.grading import Judges
from omni.evaluation.judge_folder import fit_judges, load_judges
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.sequence import Document, Image, Text

CODEC_CLIPS = 400
PROSE_OPTIONS = SamplingOptions(temperature=0.8, top_p=0.9, max_text=80)
PROSE_SAMPLES = 4
BATCH = 64


def fit_demo_judges(corpus: DemoCorpus, folder: Path, seed: int) -> None:
    """Fit the judges to the corpus' real training pictures and original training clips."""
    digits, words = corpus.digits, corpus.words_train
    prose = [
        segment.text
        for document in corpus.train()
        if document.source == "prose"
        for segment in texts(document)
    ]
    fit_judges(
        folder,
        ([Image(p.pixels) for p in digits.train], [p.word for p in digits.train]),
        [Image(p.pixels) for p in digits.heldout],
        ([word.audio for word in words], [word.word for word in words]),
        prose,
        seed,
    )


def texts(document: Document) -> Iterator[Text]:
    """The text segments of a document."""
    return (segment for segment in document.segments if isinstance(segment, Text))


def evaluate_demo(args: argparse.Namespace, cli: OmniCLI, omni: Omni, corpus: DemoCorpus) -> DemoResults:
    """All figures on the held-out shards, and the samples of the report."""
    out = Path(args.out)
    judges = load_judges(out / "judges", omni.tokenizers.text)
    reader = ShardReader(out / "shards" / "heldout", omni.tokenizers.audio.fingerprint)
    documents = [reader[number] for number in range(len(reader))]
    evaluation = evaluate_checkpoint(omni, documents, judges, SamplingOptions(seed=args.seed))
    drawn = np.random.default_rng(args.seed).permutation(len(corpus.words_heldout))[:CODEC_CLIPS]
    heldout = [corpus.words_heldout[number] for number in drawn]
    clips, spoken = [word.audio for word in heldout], [word.word for word in heldout]
    assert judges.speech is not None
    with Progress() as progress:
        coding = progress.add_task("Evaluating the audio codec", total=len(clips))
        codec = codec_report(
            omni.tokenizers.audio, clips, spoken, judges.speech, judges.sphinx,
            lambda done, total: progress.update(coding, completed=done, total=total),
        )  # fmt: skip
    by_word: dict[str, list[HeldOutClip]] = defaultdict(list)
    for word in sorted(heldout, key=lambda w: (w.digit, w.voice, w.take)):
        if len(by_word[word.word]) < PROSE_SAMPLES:
            by_word[word.word].append(HeldOutClip(*reconstructed(omni.tokenizers.audio, word.audio)))
    use = router_use(omni, documents)
    reduced = (
        None
        if args.scale == 1 and args.steps is None
        else f"scale {args.scale:g}, {cli.trainer.max_steps} steps"
    )
    return DemoResults(
        metrics={**evaluation.metrics, **codec, "image_to_text_svm": svm_accuracy(judges, corpus)},
        evaluation=evaluation,
        real_digits=_by_digit(corpus),
        heldout_clips=by_word,
        prose=_continuations(omni, [d for d in documents if d.source == "prose"][:PROSE_SAMPLES]),
        loss_csv=Path(str(cli.trainer.loggers[0].log_dir)) / "metrics.csv",
        router_load=use.load.numpy(),
        router_pairs=use.pairs.numpy(),
        router_entropy=use.entropy.numpy(),
        seed=args.seed,
        parameters=omni.model.parameter_counts()["total"],
        speech_is_synthetic=args.speech is None,
        speech_origin=corpus.speech.origin,
        command=command_line(args),
        reduced=reduced,
        settings={
            "steps": str(cli.trainer.max_steps),
            "recordings not used": str(len(corpus.speech.skipped)),
            "training documents": str(sum(corpus.train_size.counts().values())),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "python": platform.python_version(),
            "threads": str(torch.get_num_threads()),
        },
        config=yaml.safe_dump(
            yaml.safe_load(cli.parser.dump(cli.config, skip_link_targets=False)), sort_keys=False
        ),
    )


def svm_accuracy(judges: Judges, corpus: DemoCorpus) -> float:
    """Share of the held-out pictures that the SVM reads right: a specialist to measure reading by."""
    assert judges.digits is not None
    heldout = corpus.digits.heldout
    said = judges.digits.judge([Image(picture.pixels) for picture in heldout])
    return float(np.mean([verdict.answer == p.word for verdict, p in zip(said, heldout, strict=True)]))


def command_line(args: argparse.Namespace) -> str:
    """The command that repeats the run."""
    parts = ["omni demo", f"--seed {args.seed}"]
    parts += [f"--speech {args.speech}"] if args.speech else []
    parts += [f"--steps {args.steps}"] if args.steps is not None else []
    parts += [f"--scale {args.scale:g}"] if args.scale != 1 else []
    return " ".join(parts)


def _by_digit(corpus: DemoCorpus) -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {}
    for picture in sorted(corpus.digits.heldout, key=lambda p: p.digit):
        found.setdefault(picture.word, []).append(picture.pixels)
    return found


def _continuations(omni: Omni, documents: list[Document]) -> list[Continuation]:
    """The first third of held-out passages, and what the model writes after it."""
    samples = []
    for document in documents:
        text = "".join(segment.text for segment in texts(document))
        beginning = text[: len(text) // 3].rsplit(" ", 1)[0]
        written = omni.generate([Text(beginning)], "text", PROSE_OPTIONS, chat=False)
        samples.append(Continuation(beginning, "".join(s.text for s in written if isinstance(s, Text))))
    return samples


@torch.no_grad()
def router_use(omni: Omni, documents: list[Document]) -> RouterUse:
    """Which experts the positions of each modality went to, over the documents."""
    total: RouterUse | None = None
    for start in track(range(0, len(documents), BATCH), description="Router load", transient=True):
        batch = collate([[omni.layout.encode(document) for document in documents[start : start + BATCH]]])
        modality_N = batch.modality.flatten()
        use = RouterUse.stack([RouterUse.of(routing, modality_N) for routing in omni.model(batch).routing])
        total = use if total is None else total + use
    assert total is not None, "no held-out documents"
    return total
