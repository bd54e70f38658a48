"""The three tokenizers of a model, kept together: on disk in one folder, in a checkpoint as bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from omni.tokenizers.audio.base import CODEC_FILE, AudioCodec
from omni.tokenizers.audio.registry import codec_from_files
from omni.tokenizers.image import ImageTokenizer, ImageTokenizerConfig
from omni.tokenizers.text import TEXT_FILE, TextTokenizer

IMAGE_FILE = "image.json"
AUDIO_FOLDER = "audio"


@dataclass(frozen=True, eq=False)
class Tokenizers:
    """Text, image and audio tokenizer of one model."""

    text: TextTokenizer
    image: ImageTokenizer
    audio: AudioCodec

    def __post_init__(self) -> None:
        if self.image.config.max_grid > self.text.max_grid:
            raise ValueError(
                f"image.max_grid {self.image.config.max_grid} is more than the {self.text.max_grid} size "
                f"symbols of the text tokenizer: lower it, or train the text tokenizer with more"
            )

    def files(self) -> dict[str, bytes]:
        """Everything ``from_files`` needs, by relative path."""
        image = json.dumps(asdict(self.image.config), indent=1).encode()
        audio = {f"{AUDIO_FOLDER}/{name}": content for name, content in self.audio.files().items()}
        return {TEXT_FILE: self.text.model, IMAGE_FILE: image, **audio}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Tokenizers:
        """The tokenizers that ``files()`` described.

        Raises:
            ValueError: a file is missing or damaged; the message names it.
        """
        prefix = f"{AUDIO_FOLDER}/"
        audio = {name.removeprefix(prefix): data for name, data in files.items() if name.startswith(prefix)}
        missing = [n for n in (TEXT_FILE, IMAGE_FILE, prefix + CODEC_FILE) if n not in files]
        if missing:
            raise ValueError(f"tokenizer files {missing} are missing, found {sorted(files)}")
        return cls(
            TextTokenizer(files[TEXT_FILE]),
            ImageTokenizer(_image_config(files[IMAGE_FILE])),
            codec_from_files(audio),
        )

    def save(self, folder: Path | str) -> None:
        """Write ``files()`` below ``folder``."""
        for name, content in self.files().items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @classmethod
    def load(cls, folder: Path | str) -> Tokenizers:
        """Load a folder that ``save`` wrote.

        Raises:
            ValueError: the folder or one of its files is missing.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(
                f"{folder}: no such tokenizer folder; `omni demo --until tokenizers` makes one for the demo, "
                f"`omni tokenizer` trains your own"
            )
        return cls.from_files(
            {
                p.relative_to(folder).as_posix(): p.read_bytes()
                for p in sorted(folder.rglob("*"))
                if p.is_file()
            }
        )


def _image_config(content: bytes) -> ImageTokenizerConfig:
    try:
        return ImageTokenizerConfig(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{IMAGE_FILE}: no settings of an image tokenizer ({error})") from error
