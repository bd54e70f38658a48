"""Codes made ahead of time give the sequences that encoding in training gives, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omni.datamodules.shards.codes import tokenize_shards
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from omni.layout import Layout
from omni.sequence import Audio, Document, Text
from omni.tokenizers.audio.arrays import npy_array, npy_bytes
from tests.tiny import tiny_documents, tiny_tokenizers, tone, write_tar


@pytest.fixture
def tokenizers(tmp_path: Path) -> Path:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    return tmp_path / "tokenizers"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Clips at two sample rates, as question and as answer, among pictures and texts."""
    high = Document((Audio(tone(4, 0.3), 11_025), Audio(tone(5, 0.11), 8_000)), key="high")
    write_shards([*tiny_documents(24), high], tmp_path / "source", per_shard=10)
    return tmp_path / "source"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
def test_sequences_are_equal_bit_for_bit(
    source: Path, tokenizers: Path, tmp_path: Path, workers: int
) -> None:
    out, layout = tmp_path / "out", Layout(tiny_tokenizers())
    written = tokenize_shards(source, out, tokenizers, workers=workers)
    assert (written.documents, written.left_out) == (25, [])
    online, ahead = ShardReader(source), ShardReader(out, layout.tokenizers.audio.fingerprint)
    clips = 0
    for number in range(25):
        document = ahead[number]
        clips += sum(isinstance(one, Audio) and one.codes is not None for one in document.segments)
        expected, found = layout.encode(online[number]), layout.encode(document)
        for name in ("modality", "text_ids", "coords", "loss", "patches", "codes"):
            first, second = getattr(expected, name), getattr(found, name)
            assert first.dtype == second.dtype and first.tobytes() == second.tobytes(), name
    assert clips == 17
    lengths = np.concatenate([index.positions.sum(1) for index in ahead.indexes])
    assert lengths.tolist() == [len(layout.encode(online[number])) for number in range(25)]


def test_what_a_tokenized_document_holds(tmp_path: Path, tokenizers: Path) -> None:
    clip = Audio(tone(1, 0.1), 8_000, role="assistant")
    write_shards([Document((Text("say one", role="user", loss=False), clip), key="a")], tmp_path / "in")
    tokenize_shards(tmp_path / "in", tmp_path / "out", tokenizers)
    before, after = ShardReader(tmp_path / "in").members(0), ShardReader(tmp_path / "out").members(0)
    codec = tiny_tokenizers().audio
    codes = npy_array(after["1.npy"])
    assert codes.dtype == np.uint16 and codes.tolist() == codec.encode(clip.waveform).tolist() != []
    assert after["1.flac"] == before["1.flac"]
    head = json.loads(before["json"])
    head["segments"][1] |= {"codes": "1.npy", "frames": 3, "codebooks": 3, "codec": codec.fingerprint}
    assert json.loads(after["json"]) == head


def test_codes_are_made_once_and_those_of_another_codec_replaced(tmp_path: Path, tokenizers: Path) -> None:
    codec = tiny_tokenizers().audio
    own = np.zeros((2, 3), np.int64)
    clip = Audio(tone(1, 0.08), 8_000, codes=own)
    write_shards([Document((clip,), key="a")], tmp_path / "own", codec=codec.fingerprint)
    write_shards([Document((clip,), key="a")], tmp_path / "other", codec="another")
    for name in ("own", "other"):
        tokenize_shards(tmp_path / name, tmp_path / f"{name}-out", tokenizers)
    assert ShardReader(tmp_path / "own-out").members(0) == ShardReader(tmp_path / "own").members(0)
    replaced = ShardReader(tmp_path / "other-out").members(0)
    assert sorted(replaced) == ["0.flac", "0.npy", "json"]
    # the FLAC holds 16 bits of each sample
    (stored,) = ShardReader(tmp_path / "other")[0].segments
    assert npy_array(replaced["0.npy"]).tolist() == codec.encode_audio(stored).tolist()  # type: ignore[arg-type]


def test_damaged_documents_are_left_out_and_listed_within_the_limit(tmp_path: Path, tokenizers: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    text = json.dumps({"version": 1, "segments": [{"type": "text", "text": "a"}]}).encode()
    clip = json.dumps({"version": 1, "segments": [{"type": "audio", "file": "0.wav"}]}).encode()
    members = [("a.json", text), ("b.json", clip), ("b.0.wav", b"no clip"), ("c.json", text)]
    write_index(write_tar(folder / "t.tar", members))
    with pytest.raises(ValueError, match=r"1 of 3 documents are damaged, .* share of 0 \(--max-damaged\)"):
        tokenize_shards(folder, tmp_path / "out", tokenizers)
    assert not list((tmp_path / "out").glob("*.tar"))
    written = tokenize_shards(folder, tmp_path / "out", tokenizers, max_damaged=0.5)
    assert [damage.key for damage in written.left_out] == ["b"]
    (line,) = (tmp_path / "out" / "not_tokenized.jsonl").read_text().splitlines()
    assert json.loads(line)["error"].startswith(f"{folder}/t.tar[b].segments[0].file '0.wav': ")
    assert [ShardReader(tmp_path / "out").place(n)[1] for n in range(2)] == ["a", "c"]


def test_damaged_codes_are_damage(tmp_path: Path, tokenizers: Path) -> None:
    codec = tiny_tokenizers().audio
    entry = {"type": "audio", "file": "0.wav", "codes": "0.npy", "codec": codec.fingerprint}
    head = json.dumps({"version": 1, "segments": [entry]}).encode()
    folder = tmp_path / "in"
    folder.mkdir()
    write_index(write_tar(folder / "t.tar", [("a.json", head), ("a.0.npy", npy_bytes(np.zeros(3)))]))
    with pytest.raises(ValueError, match=r"expected integers \(frames, codebooks\), got float64"):
        tokenize_shards(folder, tmp_path / "out", tokenizers)


def test_wrong_arguments(source: Path, tokenizers: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SRC and OUT are the same folder"):
        tokenize_shards(source, source, tokenizers)
    with pytest.raises(ValueError, match=r"device 'cuda:9':"):
        tokenize_shards(source, tmp_path / "out", tokenizers, device="cuda:9")
    with pytest.raises(ValueError, match="the spectral codec runs on the CPU only"):
        tokenize_shards(source, tmp_path / "out", tokenizers, device="meta")
    with pytest.raises(ValueError, match="batch must be at least 1 clip, got 0"):
        tokenize_shards(source, tmp_path / "out", tokenizers, batch=0)
