"""The data of a study: made once by the demo's data stage, or there already; and what they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from omni.ablation.census import Census, census_of
from omni.ablation.mapping import check_known
from omni.ablation.study import Data, DemoData, Study
from omni.nn.config import Vocabulary

MADE_FILE = "made.json"
"""Written last: the settings that the data were made with."""


@dataclass(frozen=True)
class Places:
    """Folders of a study's data."""

    tokenizers: Path
    train: Path
    heldout: Path
    judges: Path | None
    census: Mapping[str, Any] | None = None
    """What the study states of data that aren't made yet."""

    @property
    def ready(self) -> bool:
        """Whether the data are there."""
        return self.train.is_dir() and self.tokenizers.is_dir() and self.heldout.is_dir()


def places_of(study: Study, out: Path) -> Places:
    """Where the data of a study are, or will be."""
    data = study.data
    if data.demo is None:
        assert data.tokenizers and data.train and data.heldout, data
        return Places(data.tokenizers, data.train, data.heldout, data.judges)
    folder = data.folder or out / "data"
    judges = folder / "judges"
    shards = folder / "shards"
    return Places(folder / "tokenizers", shards / "train", shards / "heldout", judges, data.census)


def make_data(study: Study, out: Path) -> Places:
    """Make the data of a study, unless they are there.

    Raises:
        ValueError: the folder holds data that were made with other settings, or given data aren't there.
    """
    places = places_of(study, out)
    data = study.data
    if data.demo is None:
        for name in ("tokenizers", "train", "heldout"):
            if not getattr(places, name).is_dir():
                raise ValueError(f"{study.source}: data.{name}: no folder {getattr(places, name)}")
        return places
    folder = data.folder or out / "data"
    wanted = _settings(data.demo)
    made = folder / MADE_FILE
    if made.is_file():
        found = json.loads(made.read_text())
        if other := sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key)):
            said = "; ".join(f"{key} was {found.get(key)!r}, is {wanted.get(key)!r}" for key in other)
            raise ValueError(
                f"{folder}: holds data of other settings: {said}. Name another data.folder, or remove it"
            )
        return places
    _make(study.data.demo or DemoData(), folder, f"{study.source}: data.demo")
    made.write_text(json.dumps(wanted, indent=1))
    return places


def _settings(demo: DemoData) -> dict[str, Any]:
    settings = asdict(demo)
    return settings | {"speech": None if demo.speech is None else str(demo.speech)}


def _make(demo: DemoData, folder: Path, where: str) -> None:
    from rich.progress import Progress

    from omni.cli.demo.corpus_stage import index_corpus, train_tokenizers, write_corpus
    from omni.cli.demo.evaluation_stage import fit_demo_judges
    from omni.datamodules.demo.corpus import DemoCorpus
    from omni.datamodules.demo.size import HELDOUT_SIZE, TRAIN_SIZE, CorpusSize

    sources = [field.name for field in fields(CorpusSize)]
    check_known(demo.train, sources, f"{where}.train")
    check_known(demo.heldout, sources, f"{where}.heldout")
    with Progress() as progress:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(f"Data: {stage}", total=total)
            progress.update(tasks[stage], completed=done)

        corpus = DemoCorpus.build(
            demo.seed,
            demo.speech,
            demo.scale,
            report,
            replace(TRAIN_SIZE, **demo.train),
            replace(HELDOUT_SIZE, **demo.heldout),
        )
        write_corpus(corpus, folder / "shards", progress)
        train_tokenizers(corpus, folder / "tokenizers", demo.seed, progress)
        index_corpus(folder / "shards", folder / "tokenizers", progress)
    fit_demo_judges(corpus, folder / "judges", demo.seed)


def vocabulary_at(places: Places) -> Vocabulary:
    """Sizes that the tokenizers fix; those of the demo's stage where they aren't made yet."""
    from omni.checkpoint import vocabulary_of
    from omni.tokenizers.bundle import Tokenizers

    if places.tokenizers.is_dir():
        return vocabulary_of(Tokenizers.load(places.tokenizers))
    from omni.cli.demo.corpus_stage import IMAGE, VOCAB_SIZE
    from omni.tokenizers.audio.spectral import SpectralConfig

    codec = SpectralConfig()
    return Vocabulary(
        text=VOCAB_SIZE,
        patch_values=IMAGE.channels * IMAGE.patch_size**2,
        max_grid=IMAGE.max_grid,
        codebooks=codec.codebooks,
        codebook_size=codec.codebook_size,
    )


def stated_census(data: Data, where: str) -> Census:
    """The census that the study states.

    Raises:
        ValueError: it states none.
    """
    if data.census is None:
        raise ValueError(
            f"{where}: the data aren't made yet and data.census doesn't say what they hold: run the study once "
            f"without --dry-run, or copy the census that it prints"
        )
    return census_of(data.census, f"{where}: data.census")
