"""THE table of import formats: what each reads, and its options. ``omni shards import`` is made from it.

A reader is named by its place, so that the table costs nothing to load: most of them bring libraries along.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omni.sequence import Document

BOTH = "both"


def directions(medium: str) -> tuple[str, ...]:
    """What pairs of a text and a medium (``image`` or ``audio``) can teach."""
    return (f"{medium}-to-text", f"text-to-{medium}", BOTH)


Reader = Callable[..., "Iterator[Document]"]
"""``(source, aside, progress, **options)``, with ``pairing`` where the format is one of pairs, else ``name``; with
``span`` where an import is cut between rows, not between files."""


@dataclass(frozen=True)
class Option:
    """An option of one format; the reader has a keyword of the same name."""

    name: str
    help: str
    default: str | None = None
    choices: tuple[str, ...] | None = None
    metavar: str | None = None
    kind: Callable[[str], Any] = str
    flag: bool = False
    """Whether it is given without a value."""


@dataclass(frozen=True)
class Format:
    """A format that can be imported."""

    name: str
    reader: str
    """``module.function`` below ``omni.datamodules.importers``."""
    source: str
    """What the user names, such as ``SRC.jsonl``."""
    help: str
    description: str
    media: tuple[str, ...] = ()
    """What its pairs have beside their text, ``image`` or ``audio``; empty for formats that are no pairs."""
    source_name: str | None = None
    """Source of the documents by default; otherwise it is the format's name."""
    options: tuple[Option, ...] = field(default=())

    def read(self) -> Reader:
        """The reader.

        Raises:
            ModuleNotFoundError: a library that every installation has is missing.
        """
        module, _, function = self.reader.partition(".")
        reader: Reader = getattr(importlib.import_module(f"omni.datamodules.importers.{module}"), function)
        return reader


IMAGES = Option("images", "folder of the downloaded pictures", metavar="FOLDER", kind=Path)
MISSING = Option(
    "missing",
    "what is set aside when a picture is missing or damaged: its page (default), or only the picture",
    default="page",
    choices=("page", "picture"),
)
PAGES = (IMAGES, MISSING)

FORMATS = (
    Format(
        "jsonl",
        "jsonl.read_jsonl",
        "SRC.jsonl",
        "a JSONL file, one document a line, media files beside it",
        "Each line is a document, for example (in one line): "
        '{"segments": [{"type": "image", "file": "cats/1.jpg", "role": "user", "loss": false}, '
        '{"type": "text", "text": "Asleep.", "role": "assistant"}]}. Types are text, image and audio; paths '
        "are relative to the file; role (system, user or assistant) and loss (whether the model learns to "
        "produce the segment; true) may be left out. So may, for the whole document, id, source (metrics are "
        "split by it) and label (what a judge should find in the last segment). A line that has text in "
        "place of segments is a document of that text.",
        source_name="unknown",
    ),
    Format(
        "text",
        "plain_text.read_text",
        "SRC",
        "plain text: a .txt file or a folder of them",
        "Each file is a document, or each paragraph: all of it is learned.",
        options=(
            Option(
                "document",
                "what is one document: a file (default), or a paragraph up to a blank line",
                default="file",
                choices=("file", "paragraph"),
            ),
        ),
    ),
    Format(
        "webdataset",
        "caption_tars.read_caption_tars",
        "SRC",
        "caption shards as img2dataset writes them: tars of KEY.jpg, KEY.txt, KEY.json",
        "A tar or a folder of them. The caption is KEY.txt, or a field of KEY.json.",
        media=("image",),
        options=(Option("caption", "field of KEY.json to take the caption from", metavar="FIELD"),),
    ),
    Format(
        "folder",
        "folder.read_folder",
        "FOLDER",
        "a folder of pictures with captions: .txt files of the same names, or metadata.jsonl or .csv",
        "Captions are .txt files beside the pictures, or stand in metadata.jsonl or metadata.csv with a column "
        "file_name, as in Hugging Face's imagefolder.",
        media=("image",),
        options=(
            Option(
                "caption",
                "column of the metadata file with the caption (default text)",
                default="text",
                metavar="COLUMN",
            ),
        ),
    ),
    Format(
        "obelics",
        "interleaved.read_interleaved",
        "SRC",
        "OBELICS: parquet files with lists of images and texts",
        "A parquet file or a folder of them. Pictures are bytes in the file, or addresses, which img2dataset "
        "fetches: name its output by --images.",
        options=PAGES,
    ),
    Format(
        "omnicorpus",
        "interleaved.read_interleaved",
        "SRC",
        "OmniCorpus: JSONL or parquet files with lists of images and texts",
        "A file or a folder of them. Pictures are addresses, which img2dataset fetches: name its output by "
        "--images.",
        options=PAGES,
    ),
    Format(
        "mmc4",
        "mmc4.read_mmc4",
        "SRC",
        "Multimodal C4: JSONL files with text_list and image_info",
        "A JSONL file or a folder of them. Pictures are files named by image_name in the folder --images, or "
        "what img2dataset fetched there. Each stands before the sentence that it is matched to.",
        options=PAGES,
    ),
    Format(
        "llava",
        "llava.read_llava",
        "SRC.json",
        "conversations about pictures in LLaVA's JSON",
        "A JSON list, or JSONL, of objects with id, image and conversations. The assistant's turns are learned.",
        options=(
            Option(
                "images",
                "folder that the pictures' paths start from (default: that of SRC)",
                metavar="FOLDER",
                kind=Path,
            ),
        ),
    ),
    Format(
        "chat",
        "chat.read_chat",
        "SRC.jsonl",
        "conversations, demonstrations, preferences and prompts as TRL and OpenAI write them",
        "Each line has messages, prompt and completion, prompt, chosen and rejected, or prompt alone; contents are "
        "strings or parts (text, image_url, input_audio) whose media are files beside SRC or data: URLs. The "
        "assistant's turns are learned; a preference becomes two documents (docs/post-training.md).",
    ),
    Format(
        "sharegpt",
        "sharegpt.read_sharegpt",
        "SRC.json",
        "conversations and preferences in ShareGPT's JSON",
        "A JSON list, or JSONL, of objects with conversations (from, value), and if need be system, tools, images, "
        "audios, chosen and rejected. The assistant's turns are learned.",
    ),
    Format(
        "librispeech",
        "speech.read_librispeech",
        "FOLDER",
        "LibriSpeech: SPEAKER/CHAPTER/*.flac and *.trans.txt",
        "A folder with transcripts at any depth, such as LibriSpeech/train-clean-100.",
        media=("audio",),
        options=(Option("lowercase", "write the words in small letters (the data has capitals)", flag=True),),
    ),
    Format(
        "common-voice",
        "speech.read_common_voice",
        "SRC.tsv",
        "Common Voice: a table with path and sentence, beside the folder clips",
        "A table such as train.tsv; the clips lie in the folder clips beside it.",
        media=("audio",),
    ),
    Format(
        "ljspeech",
        "speech.read_ljspeech",
        "FOLDER",
        "LJ Speech: metadata.csv and wavs",
        "The folder with metadata.csv and wavs. The words are those with numbers written out.",
        media=("audio",),
    ),
    Format(
        "digits",
        "speech.read_digits",
        "FOLDER",
        "spoken digits in files named {digit}_{speaker}_{n}.wav",
        "Recordings in the naming of the Free Spoken Digit Dataset; the word is also the label.",
        media=("audio",),
    ),
    Format(
        "hf",
        "huggingface.read_hf",
        "FOLDER",
        "a data set of Hugging Face's datasets, saved by save_to_disk",
        "Columns are named by the options: a text, a picture or a clip alone, or a text with one of them. Needs "
        "the extra `import`.",
        media=("image", "audio"),
        options=(
            Option("text", "column of the text", metavar="COLUMN"),
            Option("image", "column of the picture", metavar="COLUMN"),
            Option("audio", "column of the clip", metavar="COLUMN"),
            Option("key", "column of ids (default: rows are numbered)", metavar="COLUMN"),
            Option("split", "which split of a folder with several", metavar="SPLIT"),
        ),
    ),
)
