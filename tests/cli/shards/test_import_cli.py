"""``omni shards import``: the command that the table of formats makes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from omni.cli.shards.importing import add_import
from omni.datamodules.importers.formats import FORMATS, Format
from omni.datamodules.shards.reader import ShardReader
from tests.datamodules.importers.imported import jpeg, save, save_clip, shown


def import_shards(*arguments: object) -> None:
    """What ``omni shards import ...`` runs."""
    parser = argparse.ArgumentParser()
    add_import(parser.add_subparsers())
    args = parser.parse_args(["import", *map(str, arguments)])
    args.run(args)


@pytest.fixture
def cats(tmp_path: Path) -> Path:
    """Three pictures, two of them the same, with captions."""
    for number, name in [(1, "a"), (1, "b"), (2, "c")]:
        save(tmp_path / "cats" / f"{name}.jpg", jpeg(number))
        save(tmp_path / "cats" / f"{name}.txt", f"cat {name}".encode())
    return tmp_path / "cats"


def test_pairs_with_a_direction_and_a_prompt(
    cats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "shards", tmp_path / "figures.json"
    import_shards(
        *("folder", cats, out, "--direction", "text-to-image", "--prompt-for-media", "Draw:"),
        *("--name", "cats", "--drop-duplicates", "--json", figures),
    )
    reader = ShardReader(out)
    assert [shown(reader[number]) for number in range(len(reader))] == [
        ["user 'Draw: cat a'", "* assistant image 5x6"],
        ["user 'Draw: cat c'", "* assistant image 5x6"],
    ]
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 2 documents written, 1 duplicates left out",
        "  source cats_text_to_image: 2",
    ]
    assert json.loads(figures.read_text()) == {
        "documents": 2,
        "by_source": {"cats_text_to_image": 2},
        "duplicates": 1,
        "damaged": [],
    }


def test_what_is_set_aside_is_printed_listed_and_limited(
    cats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cats / "b.txt").unlink()
    out = tmp_path / "shards"
    with pytest.raises(ValueError, match=r"1 of 3 documents are damaged, .* share of 0 \(--max-damaged\)"):
        import_shards("folder", cats, out)
    error = f"{cats}:b.jpg: no caption"
    assert capsys.readouterr().out.splitlines() == [f"damaged: {error}"]
    assert [path.name for path in out.iterdir()] == ["not_imported.jsonl"]
    import_shards("folder", cats, out, "--max-damaged", 0.4)
    assert len(ShardReader(out)) == 2
    assert json.loads((out / "not_imported.jsonl").read_text())["error"] == error


def test_options_of_a_format(tmp_path: Path) -> None:
    save(tmp_path / "book.txt", b"One.\n\nTwo.\n")
    import_shards("text", tmp_path / "book.txt", tmp_path / "out", "--document", "paragraph")
    reader = ShardReader(tmp_path / "out")
    assert [(reader[n].key, reader[n].source) for n in range(2)] == [
        ("book-00000001", "text"),
        ("book-00000003", "text"),
    ]


def test_digits_in_both_directions(tmp_path: Path) -> None:
    for take in range(8):
        save_clip(tmp_path / "recordings" / f"7_theo_{take}.wav", take)
    import_shards("digits", tmp_path / "recordings", tmp_path / "out")
    reader = ShardReader(tmp_path / "out")
    sources = {reader[number].source for number in range(len(reader))}
    assert sources == {"digits_audio_to_text", "digits_text_to_audio"}
    assert {reader[number].label for number in range(len(reader))} == {"seven"}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_format_says_what_it_is_and_names_a_missing_source(
    form: Format, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        import_shards(form.name, "--help")
    assert left.value.code == 0 and form.description.split()[0] in capsys.readouterr().out
    if form.name == "hf":
        pytest.importorskip("datasets", reason="the extra `import`")
    with pytest.raises(ValueError, match=r"none: no |no \*\.trans\.txt"):
        import_shards(form.name, tmp_path / "none", tmp_path / "out")


def test_directions_are_those_of_the_medium(
    cats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        import_shards("folder", cats, tmp_path / "out", "--direction", "audio-to-text")
    assert "invalid choice: 'audio-to-text'" in capsys.readouterr().err
