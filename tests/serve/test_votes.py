"""Votes: what is taken, what is kept, and that its export is what post-training reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from omni.cli.main import main
from omni.datamodules.importers.chat import read_chat
from omni.datamodules.quarantine import Quarantine
from omni.sequence import Audio, Document, Image, Text
from omni.serve.endpoints import Endpoint
from omni.serve.metrics import Metrics
from omni.serve.remote import RemoteModel
from omni.serve.vote_store import VoteStore
from tests.datamodules.importers.imported import Told
from tests.serve.live import live, server_of
from tests.serve.talk import error_of, image_url, input_audio, text, wav
from tests.tiny import picture

QUESTION = [{"role": "user", "content": [text("which digit?"), image_url(3)]}]


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Where the votes will be."""
    return tmp_path / "new" / "votes.sqlite"


@pytest.fixture
def keeper(votes: Path) -> Iterator[httpx2.Client]:
    """A client of a server without checkpoints; votes need none."""
    with keeps(votes) as running, running.client() as client:
        yield client


def keeps(votes: Path, **settings: Any) -> Any:
    """A server that keeps votes in a file."""
    other = RemoteModel(Endpoint(name="other", url="http://127.0.0.1:9/v1"), 1.0)
    return live(server_of({"other": other}, Metrics(), votes=votes, **settings))


def judged(model: str, *content: dict[str, Any], messages: list[dict[str, Any]] | None = None) -> dict:
    """An answer of a vote."""
    return {"model": model, "messages": messages or QUESTION, "content": list(content)}


def vote(*answers: dict[str, Any], verdict: str = "best", winner: int | None = None) -> dict[str, Any]:
    """A vote."""
    return {"verdict": verdict, "winner": winner, "answers": list(answers)}


def imported(lines: str, folder: Path) -> list[Document]:
    """What the importer of preferences reads, none of it damaged."""
    source = folder / "preferences.jsonl"
    source.write_text(lines)
    return list(read_chat(source, Quarantine(folder, 0.0), Told(), name="votes"))


def test_votes_come_back_as_preferences_with_their_media(keeper: httpx2.Client, tmp_path: Path) -> None:
    assert keeper.get("/votes").json() == {"votes": 0, "best": 0, "tie": 0, "bad": 0}
    assert keeper.get("/votes/export").text == ""
    a = judged("a", text("a three"))
    b = judged("b", image_url(7), input_audio(wav(4)))
    for number, body in enumerate(
        (vote(a, b, winner=1), vote(a, b, verdict="tie"), vote(a, b, verdict="bad"))
    ):
        assert keeper.post("/votes", json=body).json() == {"id": number + 1}
    assert keeper.get("/votes").json() == {"votes": 3, "best": 1, "tie": 1, "bad": 1}
    export = keeper.get("/votes/export")
    assert "preferences.jsonl" in export.headers["content-disposition"]
    line = json.loads(export.text)
    assert (line["id"], line["chosen_model"], line["rejected_model"]) == ("vote-1-0", "b", "a")
    chosen, rejected = imported(export.text, tmp_path)
    assert (chosen.key, rejected.key) == ("vote-1-0-chosen", "vote-1-0-rejected")
    assert [(type(s), s.role, s.loss) for s in chosen.segments] == [
        (Text, "user", False),
        (Image, "user", False),
        (Image, "assistant", True),
        (Audio, "assistant", True),
    ]
    drawn = chosen.segments[2]
    assert isinstance(drawn, Image)
    np.testing.assert_array_equal(drawn.pixels, picture(7, 8, 8))
    assert isinstance(rejected.segments[2], Text) and rejected.segments[2].text == "a three"


def test_the_best_of_four_is_preferred_to_three(keeper: httpx2.Client, tmp_path: Path) -> None:
    four = [judged(name, text(said)) for name, said in zip("abcd", ("1", "2", "3", "2"), strict=True)]
    assert keeper.post("/votes", json=vote(*four, winner=1)).status_code == 200
    lines = [json.loads(line) for line in keeper.get("/votes/export").text.splitlines()]
    # d says the same as b
    assert [(line["id"], line["rejected_model"]) for line in lines] == [("vote-1-0", "a"), ("vote-1-2", "c")]


def test_later_turns_are_whole_conversations(keeper: httpx2.Client, tmp_path: Path) -> None:
    def second(said: str) -> list[dict[str, Any]]:
        return [
            *QUESTION,
            {"role": "assistant", "content": [text(said)]},
            {"role": "user", "content": "sure?"},
        ]

    a, b = (judged(said, text("yes " + said), messages=second(said)) for said in "ab")
    keeper.post("/votes", json=vote(a, b, winner=0)).raise_for_status()
    chosen, rejected = imported(keeper.get("/votes/export").text, tmp_path)
    assert [s.text for s in chosen.segments if isinstance(s, Text)] == ["which digit?", "a", "sure?", "yes a"]
    assert [s.text for s in rejected.segments if isinstance(s, Text)] == [
        "which digit?",
        "b",
        "sure?",
        "yes b",
    ]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (vote(judged("a", text("1"))), "answers"),
        (vote(judged("a", text("1")), judged("b", text("2"))), "only `best` has a winner"),
        (
            vote(judged("a", text("1")), judged("b", text("2")), winner=2),
            "winner is 2, but there are 2 answers",
        ),
        (
            vote(judged("a", text("1")), judged("b", text("2")), verdict="tie", winner=0),
            "only `best` has a winner",
        ),
        (
            vote(
                judged("a", text("1")),
                judged("b", {"type": "image_url", "image_url": {"url": "https://example.com/7.png"}}),
                winner=0,
            ),
            "expected a data: URL, got 'https://example.com/7.png'",
        ),
        (
            vote(judged("a", text("1")), judged("b", input_audio(b"no sound")), winner=0),
            "no clip of a known format",
        ),
    ],
)
def test_what_could_not_be_learned_from_is_refused(
    keeper: httpx2.Client, votes: Path, body: dict[str, Any], says: str
) -> None:
    assert says in error_of(keeper.post("/votes", json=body), 400)["message"]
    assert not votes.exists()


def test_votes_need_the_key(votes: Path) -> None:
    with keeps(votes, api_key="a-key") as running, running.client() as client:
        body = vote(judged("a", text("1")), judged("b", text("2")), winner=0)
        for response in (
            client.post("/votes", json=body),
            client.get("/votes"),
            client.get("/votes/export"),
        ):
            assert error_of(response, 401)["code"] == "invalid_api_key"
    assert not votes.exists()


def test_export_on_the_command_line(
    keeper: httpx2.Client, votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    assert main(["votes", "export", str(votes), str(out)]) == 2
    assert "no such file; `omni serve --votes` makes it" in capsys.readouterr().err
    a, b, mute = judged("a", text("1")), judged("b", text("2")), judged("c")
    keeper.post("/votes", json=vote(a, b, verdict="tie")).raise_for_status()
    assert main(["votes", "export", str(votes), str(out)]) == 2
    assert "none of its 1 votes prefers" in capsys.readouterr().err
    for body in (vote(a, b, winner=0), vote(a, mute, winner=0), vote(a, a, winner=0)):
        keeper.post("/votes", json=body).raise_for_status()
    told = tmp_path / "told.json"
    assert main(["votes", "export", str(votes), str(out), "--json", str(told)]) == 0
    assert json.loads(told.read_text()) == {
        "pairs": 1,
        "votes": 4,
        "without_winner": 1,
        "same": 1,
        "empty": 1,
    }
    said = capsys.readouterr().out
    assert (
        "1 pairs of 4 votes; left out: 1 votes without a best answer, 1 pairs of the same answer, 1 with"
        in said
    )
    assert out.read_text() == keeper.get("/votes/export").text


def test_another_file_is_no_file_of_votes(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database, but long enough to be looked at " * 9)
    with pytest.raises(ValueError, match=r"notes\.txt: no file of votes \(file is not a database\)"):
        VoteStore(other)
    with pytest.raises(ValueError, match=r"no file of votes \(unable to open database file\)"):
        VoteStore(tmp_path)
