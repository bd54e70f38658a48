"""The data of a study: made once by the demo's data stage, or there already; and what they hold."""

from __future__ import annotations

import argparse
import json
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
    stages: Path | None = None
    """Folder of a folder for each stage of a cascade."""
    marker: Path | None = None
    """File that is there once the study has made all."""

    @property
    def ready(self) -> bool:
        """Whether the data are there."""
        if self.marker is not None:
            return self.marker.is_file()
        return self.train.is_dir() and self.tokenizers.is_dir() and self.heldout.is_dir()

    def ready_for(self, stage: str) -> bool:
        """The same for a stage of a cascade; empty for whole models."""
        own = not stage or (self.stages is not None and (self.stages / stage).is_dir())
        return self.ready and own


def places_of(study: Study, out: Path) -> Places:
    """Where the data of a study are, or will be."""
    data = study.data
    if data.demo is None:
        assert data.tokenizers and data.train and data.heldout, data
        return Places(data.tokenizers, data.train, data.heldout, data.judges, data.stages)
    folder = data.folder or out / "data"
    judges = folder / "judges"
    shards = folder / "shards"
    return Places(
        folder / "tokenizers",
        shards / "train",
        shards / "heldout",
        judges,
        folder / "stages",
        folder / MADE_FILE,
    )


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
        _check_stages(study, places)
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
    _make_stages(study, places)
    return places


def _check_stages(study: Study, places: Places) -> None:
    for stage in (stage for variant in study.variants for stage in variant.stages):
        if places.stages is None or not (places.stages / stage.name).is_dir():
            raise ValueError(
                f"{study.source}: data.stages: no shards for the stage {stage.name}; `omni cascade shards "
                f"{places.train} FOLDER --tokenizers {places.tokenizers}` writes them"
            )


def _make_stages(study: Study, places: Places) -> None:
    """Shards of the stages of a cascade, where the study has one."""
    from omni.cli.cascade import run_shards

    if not any(variant.stages for variant in study.variants):
        return
    assert places.stages is not None, places
    made = places.stages / MADE_FILE
    if not made.is_file():
        run_shards(
            argparse.Namespace(
                data=places.train, out=places.stages, tokenizers=places.tokenizers, transcribed=None
            )
        )
        made.write_text("{}")
    _check_stages(study, places)


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

    if places.ready:
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


def stated_census(data: Data, name: str, where: str) -> Census:
    """The census that the study states under ``name``.

    Raises:
        ValueError: it states none.
    """
    stated = (data.census or {}).get(name)
    if stated is None:
        raise ValueError(
            f"{where}: the data aren't made yet, and data.census.{name} doesn't say what they hold. Make them with "
            f"`omni ablate STUDY --data`, which prints it, or run the study"
        )
    return census_of(stated, f"{where}: data.census.{name}")
