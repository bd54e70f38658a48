"""The wheel: what is in it, and that it runs from an environment that has never seen this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("omni", "tokenizers", "datamodules", "configs", "pyproject.toml", "README.md", "LICENSE")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program outside the repository, with nothing of it on the path; its output, or a failed test."""
    hidden = {"PYTHONPATH", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, (
        f"{' '.join(done.args)} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree: setuptools would find old files in its ``build/`` folder."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, tree / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "dist"]
    run(sys.executable, "-m", "pip", "wheel", *options, ".", cwd=tree)
    (built,) = (tree / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of an environment with the wheel; the dependencies are those of the running one."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    # A line of a .pth file puts a folder on the path, but the .pth files in that folder are not read: so
    # the dependencies are found and the editable installation of this repository is not.
    dependencies = [entry for entry in sys.path if entry.endswith("-packages")]
    (Path(paths["purelib"]) / "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    bin_folder = Path(paths["scripts"])
    options = ["--no-deps", "--no-index", "--ignore-installed", "--quiet"]
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        bin_folder / "python",
        "install",
        *options,
        wheel,
        cwd=environment,
    )
    return bin_folder


def files_under(folder: str, suffix: str) -> set[str]:
    return {
        f"{folder}/{path.relative_to(ROOT / folder)}"
        for path in (ROOT / folder).rglob(f"*{suffix}")
        if "__pycache__" not in path.parts
    }


def test_wheel_holds_every_source_and_config_once(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    linked = {
        f"omni/{name}" for folder in ("tokenizers", "datamodules") for name in files_under(folder, ".py")
    }
    configs = {f"omni/{name}" for name in files_under("configs", ".yaml")}
    expected = files_under("omni", ".py") | linked | configs | {"omni/py.typed"}
    carried = {name for name in names if name.endswith((".py", ".yaml", "py.typed"))}
    assert carried == expected
    assert len(names) == len(set(names))


def test_wheel_has_no_top_folder_but_omni(wheel: Path) -> None:
    """A folder ``tokenizers/`` in the wheel would overwrite the package of that name."""
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"omni"}


def test_wheel_carries_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/LICENSE"))
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()


def test_installed_wheel_is_what_is_imported(installed: Path, tmp_path: Path) -> None:
    command = "import omni.modality, omni.tokenizers, omni.datamodules; print(omni.__file__)"
    found = Path(run(installed / "python", "-c", command, cwd=tmp_path).strip())
    assert found.is_relative_to(installed.parent), f"imported {found}, expected it under {installed.parent}"


def test_installed_program_prints_its_help_anywhere(installed: Path, tmp_path: Path) -> None:
    text = run(installed / "omni", "--help", cwd=tmp_path)
    assert "usage: omni" in text
    for command in ("demo", "fit", "generate", "eval", "tokenizer"):
        assert command in text, f"{command} is missing from:\n{text}"
