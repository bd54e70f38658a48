"""Text curation through ``datatrove``: language, quality, exact and near duplicates.

Decides for each document of a folder of shards whether it stays. What is judged is its text: all its text
segments, a line each. Documents without text always stay. Language by fastText (Joulin et al. 2016), quality and
repetition by the rules of Gopher (Rae et al. 2021, table A1), near duplicates by MinHash over word 5-grams in
14 buckets of 8 hashes, which finds pairs of Jaccard similarity 0.8 with probability 0.92 (Broder 1997; the
setting of FineWeb, Penedo et al. 2024). https://github.com/huggingface/datatrove
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.sequence import Document, Text

PACKAGES = ("datatrove", "fasttext", "spacy")
"""spaCy splits English into words, without a model."""


@runtime_checkable
class Documents(Protocol):
    """Numbered documents, as a ``ShardReader`` has them."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Document:
        """A ``DocumentError`` where it is damaged."""


@dataclass(frozen=True, kw_only=True)
class CurationConfig:
    """Which documents stay."""

    languages: tuple[str, ...] = ()
    """Codes of the languages that stay, as fastText's ``lid.176`` names them (``en``); none: all."""
    language_threshold: float = 0.65
    """Least probability of one of them."""
    language_model: Path | None = None
    """A fastText model file; otherwise datatrove downloads ``lid.176.bin`` (126 MB) once."""
    quality: bool = False
    """Whether the rules of Gopher hold; they are made for running English text of 50 words and more."""
    exact: bool = False
    """Whether of documents with the same text only the first stays."""
    near: bool = False
    """Whether of documents with nearly the same text only one stays."""

    def __post_init__(self) -> None:
        if not (self.languages or self.quality or self.exact or self.near):
            raise ValueError("nothing to curate by; name languages, quality, exact or near")
        if not 0 < self.language_threshold < 1:
            raise ValueError(
                f"the language threshold is a probability, expected 0 to 1, got {self.language_threshold}"
            )


@dataclass
class Curation:
    """What stays, and what goes for which reason."""

    kept: list[int] = field(default_factory=list)
    """Numbers of the documents that stay, in order."""
    dropped: dict[int, str] = field(default_factory=dict)
    """Numbers of those that go, each with the reason, such as ``quality: gopher_short_doc``."""

    @property
    def by_reason(self) -> dict[str, int]:
        """How many go for each reason."""
        return dict(sorted(Counter(self.dropped.values()).items()))


def curate(
    documents: Documents,
    config: CurationConfig,
    aside: Quarantine,
    place: Callable[[int], tuple[str, str]],
    progress: Callable[[range], Iterable[int]] = iter,
) -> Curation:
    """Decide which documents stay.

    Filters come first; duplicates are looked for among what they leave.

    Args:
        documents: what is judged.
        config: by what.
        aside: takes damaged documents, which don't stay; its limit is checked.
        place: shard and key of a document, for ``aside``.
        progress: wraps the numbers of the first reading.

    Raises:
        ValueError: no ``datatrove``, no language model, or too many damaged documents.
    """
    _need_datatrove()
    from loguru import logger

    logger.disable("datatrove")  # it tells of every step
    filters = _filters(config)
    curation = Curation()
    judged: list[int] = []
    bare: list[int] = []
    for number in progress(range(len(documents))):
        try:
            text = text_in(documents[number])
        except DocumentError as error:
            aside.add(*place(number), error)
            continue
        reason = _reason(text, filters) if text else None
        if reason is not None:
            curation.dropped[number] = reason
        else:
            (judged if text else bare).append(number)
    aside.close(len(documents))
    for name, wanted, find in (("exact", config.exact, _exact), ("near", config.near, _near)):
        if wanted and judged:
            stay = _left_by(find, documents, judged)
            curation.dropped |= {number: f"{name} duplicate" for number in judged if number not in stay}
            judged = [number for number in judged if number in stay]
    curation.kept = sorted(judged + bare)
    return curation


def text_in(document: Document) -> str:
    """The text segments of a document, a line each."""
    texts = (segment.text for segment in document.segments if isinstance(segment, Text))
    return "\n".join(text for text in texts if text.strip())


def _need_datatrove() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(f"curation needs {', '.join(missing)}: pip install 'omni[curate]'")


def _filters(config: CurationConfig) -> list[tuple[str, Any]]:
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter, LanguageFilter

    filters: list[tuple[str, Any]] = []
    if config.languages:
        language = LanguageFilter(list(config.languages), config.language_threshold)
        if config.language_model is not None:
            language.model = _local_model(config.language_model, list(config.languages))
        filters.append(("language", language))
    if config.quality:
        filters += [("quality", GopherRepetitionFilter()), ("quality", GopherQualityFilter())]
    return filters


def _local_model(path: Path, languages: list[str]) -> Any:
    """datatrove's language identifier with a model of ours."""
    from datatrove.utils.lid import FT176LID
    from fasttext.FastText import _FastText

    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; expected a fastText model, such as lid.176.bin or lid.176.ftz"
        )
    try:
        loaded = _FastText(str(path))
    except ValueError as error:
        raise ValueError(f"{path}: no fastText model ({error})") from error

    class LocalModel(FT176LID):  # type: ignore[misc]
        model = loaded

    return LocalModel(languages)


def _reason(text: str, filters: list[tuple[str, Any]]) -> str | None:
    """Why the text goes; ``None`` where it stays.

    Raises:
        ValueError: the language model can't be downloaded.
    """
    from datatrove.data import Document as Judged

    document = Judged(text=text, id="")
    for name, one in filters:
        try:
            verdict = one.filter(document)
        except OSError as error:
            raise ValueError(
                f"the language model can't be downloaded ({error}); name a file by --language-model"
            ) from error
        stays, why = verdict if isinstance(verdict, tuple) else (verdict, None)
        if not stays:
            return f"{name}: {why or document.metadata.get('language', 'other')}"
    return None


Find = Callable[[Callable[[], Iterator[Any]], str], Iterator[Any]]
"""Given a source of datatrove's documents and a folder to work in, those that stay."""


def _left_by(find: Find, documents: Documents, numbers: list[int]) -> set[int]:
    from datatrove.data import Document as Judged

    def source() -> Iterator[Any]:
        return (Judged(text=text_in(documents[number]), id=str(number)) for number in numbers)

    with TemporaryDirectory(prefix="omni-curation-") as folder:
        return {int(document.id) for document in find(source, folder)}


def _exact(source: Callable[[], Iterator[Any]], folder: str) -> Iterator[Any]:
    from datatrove.pipeline.dedup import ExactDedupFilter, ExactDedupSignature, ExactFindDedups
    from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig

    config = ExactDedupConfig(content_getter=lambda document: document.text)
    ExactDedupSignature(f"{folder}/signatures", config).run(source())
    ExactFindDedups(f"{folder}/signatures", f"{folder}/found", config).run()
    yield from ExactDedupFilter(f"{folder}/found", config).run(source())


def _near(source: Callable[[], Iterator[Any]], folder: str) -> Iterator[Any]:
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    config = MinhashConfig()
    MinhashDedupSignature(f"{folder}/signatures", config).run(source())
    buckets = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/pairs", config=config)
    for bucket in range(config.num_buckets):
        buckets.run(rank=bucket, world_size=config.num_buckets)
    MinhashDedupCluster(f"{folder}/pairs", f"{folder}/clusters", config=config).run()
    yield from MinhashDedupFilter(f"{folder}/clusters").run(source())
