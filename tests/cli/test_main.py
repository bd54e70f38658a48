"""The command itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from omni.cli.main import SUBCOMMANDS, main
from tests.tiny import SENTENCES


def test_help_comes_at_once_without_torch() -> None:
    code = (
        "import sys; from omni.cli.main import build_parser; "
        "build_parser().format_help(); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.txt").write_text("\n".join(SENTENCES))
    command = ["tokenizer", "train-text", "--data", str(tmp_path / "data.txt"), "--vocab-size", "400"]
    assert main([*command, "--out", str(tmp_path / "data.txt" / "text")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("omni: error: ") and f"{tmp_path}/data.txt/text" in line


def test_a_missing_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SUBCOMMANDS, "fit", "omni_that_is_not_there")
    assert main(["fit"]) == 2
    assert capsys.readouterr().err == "omni: error: No module named 'omni_that_is_not_there'\n"


def test_a_defect_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("omni.cli.fit.run_arguments", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        main(["fit"])
