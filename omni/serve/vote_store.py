"""Votes in a SQLite file, and as preferences for post-training. Free of torch and of the server.

A vote has two to four answers. ``best`` makes a pair of the best answer with each of the others; a tie and answers
that are all bad are kept, but prefer nothing. A line of the export is what ``omni shards import chat`` reads::

    {"id": "vote-7-1", "prompt": [message, ...], "chosen": [part, ...], "rejected": [part, ...]}

In a later turn of a conversation each model has its own earlier answers before it, so there is no common prompt. Then
``chosen`` and ``rejected`` are the whole conversations, which begin alike.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS votes (
    id INTEGER PRIMARY KEY,
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    verdict TEXT NOT NULL CHECK (verdict IN ('best', 'tie', 'bad')),
    winner INTEGER
);
CREATE TABLE IF NOT EXISTS answers (
    vote INTEGER NOT NULL REFERENCES votes (id),
    place INTEGER NOT NULL,
    model TEXT NOT NULL,
    messages TEXT NOT NULL,
    content TEXT NOT NULL,
    settings TEXT NOT NULL,
    measured TEXT NOT NULL,
    PRIMARY KEY (vote, place)
);
"""
"""``messages`` to ``measured`` are JSON; pictures and clips are inside, as ``data:`` URLs and base64."""
JSON_FIELDS = ("messages", "content", "settings", "measured")
WAIT_SECONDS = 10.0
"""How long a writer waits for another one."""
Line = dict[str, Any]


@dataclass
class ExportCounts:
    """What an export holds, and what it left out."""

    pairs: int = 0
    votes: int = 0
    without_winner: int = 0
    """Ties, and votes that all are bad."""
    same: int = 0
    """Pairs whose answers are the same."""
    empty: int = 0
    """Pairs with an answer that says nothing."""


class VoteStore:
    """The votes of one file, which the first vote makes. Each call opens the file, so that any thread may call."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            ValueError: the file is there and holds no votes.
        """
        self.path = path
        if path.exists():
            self.counts()

    def add(self, verdict: str, winner: int | None, answers: Sequence[Mapping[str, Any]]) -> int:
        """Keep a vote and return its number; an answer has ``model`` and the fields ``JSON_FIELDS``.

        Raises:
            OSError: the folder can't be made.
            sqlite3.Error: the file can't be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as database, database:
            database.executescript(TABLES)
            added = database.execute("INSERT INTO votes (verdict, winner) VALUES (?, ?)", (verdict, winner))
            rows = [
                (added.lastrowid, place, answer["model"], *(_json(answer[field]) for field in JSON_FIELDS))
                for place, answer in enumerate(answers)
            ]
            database.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            assert added.lastrowid is not None
            return added.lastrowid

    def counts(self) -> dict[str, int]:
        """Number of votes by verdict.

        Raises:
            ValueError: the file holds no votes.
        """
        found = {"best": 0, "tie": 0, "bad": 0}
        if self.path.exists():
            with closing(self._open()) as database:
                rows = self._read(database, "SELECT verdict, COUNT(*) FROM votes GROUP BY verdict")
                found |= {str(verdict): int(count) for verdict, count in rows}
        return found

    def pairs(self, counts: ExportCounts) -> Iterator[Line]:
        """The preferences as lines of JSONL, in order of the votes; counts what it meets.

        Raises:
            ValueError: no such file, or one that holds no votes.
        """
        if not self.path.is_file():
            raise ValueError(f"{self.path}: no such file; `omni serve --votes` makes it with the first vote")
        with closing(self._open()) as database:
            for vote, winner in self._read(database, "SELECT id, winner FROM votes ORDER BY id"):
                counts.votes += 1
                if winner is None:
                    counts.without_winner += 1
                    continue
                query = "SELECT model, messages, content FROM answers WHERE vote = ? ORDER BY place"
                answers = [
                    (model, json.loads(messages), json.loads(content))
                    for model, messages, content in self._read(database, query, (vote,))
                ]
                for place, answer in enumerate(answers):
                    if place != winner and (line := _pair(answers[winner], answer, counts)) is not None:
                        counts.pairs += 1
                        yield {"id": f"vote-{vote}-{place}", **line}

    def _open(self) -> sqlite3.Connection:
        try:
            # an export is read by whichever thread of the server is free, one after another
            return sqlite3.connect(self.path, timeout=WAIT_SECONDS, check_same_thread=False)
        except sqlite3.Error as error:
            raise ValueError(f"{self.path}: no file of votes ({error}); name another one") from None

    def _read(self, database: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return database.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path}: no file of votes ({error}); name another one") from None


Answer = tuple[str, list[Line], list[Line]]
"""Model, messages before the answer, parts of the answer."""


def _pair(chosen: Answer, rejected: Answer, counts: ExportCounts) -> Line | None:
    """The line of two answers without its id; ``None``, counted, where there is nothing to prefer."""
    if not all(map(_says_something, (chosen[2], rejected[2]))):
        counts.empty += 1
        return None
    if chosen[1:] == rejected[1:]:
        counts.same += 1
        return None
    models = {"chosen_model": chosen[0], "rejected_model": rejected[0]}
    if chosen[1] == rejected[1]:
        return {"prompt": chosen[1], "chosen": chosen[2], "rejected": rejected[2], **models}
    return {"chosen": _conversation(chosen), "rejected": _conversation(rejected), **models}


def _says_something(content: list[Line]) -> bool:
    return any(part["type"] != "text" or part["text"].strip() for part in content)


def _conversation(answer: Answer) -> list[Line]:
    return [*answer[1], {"role": "assistant", "content": answer[2]}]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def export_line(line: Line) -> str:
    """A preference as a line of a file."""
    return _json(line) + "\n"
