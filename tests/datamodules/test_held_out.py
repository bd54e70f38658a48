"""Shares of held-out documents and questions: every number in exactly one, whatever the number of ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni.datamodules.held_out import HeldOut
from omni.datamodules.remote.remote_config import RemoteConfig
from omni.datamodules.shards.writer import write_shards
from tests.tiny import tiny_documents


@pytest.mark.parametrize(("world", "limit"), [(1, None), (3, None), (3, 7), (8, 5)])
def test_each_document_and_question_is_in_one_share(tmp_path: Path, world: int, limit: int | None) -> None:
    documents = tiny_documents(10)
    write_shards(documents, tmp_path / "heldout")
    lines = [json.dumps({"question": str(n), "options": ["a", "b"], "answer": 0}) for n in range(10)]
    (tmp_path / "exam.jsonl").write_text("\n".join(lines))
    shares = [HeldOut(RemoteConfig(), rank, world) for rank in range(world)]
    found = [share.documents(str(tmp_path / "heldout"), "", limit, start=100) for share in shares]
    asked = [share.choices(str(tmp_path / "exam.jsonl"), limit, start=100) for share in shares]
    expected = [100 + number for number in range(10 if limit is None else limit)]
    assert sorted(number for share in found for number in share) == expected
    assert sorted(number for share in asked for number in share) == expected
    assert all(document.key == documents[n - 100].key for share in found for n, document in share.items())
