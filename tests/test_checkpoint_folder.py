"""A checkpoint's folder works alone, becomes one folder of safetensors, and a run begins from either."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from omni.callbacks.checkpoint import Checkpoints
from omni.checkpoint import load_model
from omni.cli.main import main
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.sequence import Text
from omni.snapshot.manifest import DamagedError, read_manifest
from omni.training.pretrain import Pretrain
from tests.snapshot.made import flip
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_config
from tests.tiny_run import fit, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint, away from its run, and the weights it must hold."""
    out = tmp_path_factory.mktemp("run")
    saved = Checkpoints(out / "kept", save_last="link", every_n_train_steps=2)
    module = fit(corpus, out, max_steps=2, callbacks=[saved])
    alone = tmp_path_factory.mktemp("alone") / "any name"
    shutil.copytree(out / "kept" / "last.ckpt", alone)
    return alone, module.model.state_dict()


@pytest.fixture
def folder(trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained[0], tmp_path / "copy.ckpt"))


def test_it_works_alone(trained: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, weights = trained
    omni = Omni.from_checkpoint(path)
    assert omni.model.config == tiny_config() and not omni.model.training
    assert omni.tokenizers.files() == tiny_tokenizers().files()
    torch.testing.assert_close(dict(omni.model.state_dict()), dict(weights), rtol=0, atol=0)
    (answer,) = omni.generate([Text("which digit?")], "text", SamplingOptions(max_text=3))
    assert isinstance(answer, Text)


def test_what_lies_in_it(folder: Path) -> None:
    """Tied weights once; files of the optimizer apart, so that who generates need not have them."""
    manifest = read_manifest(folder)
    names = {name for name in manifest.files if not name.startswith("tokenizers/")}
    optimizer = "optimizer-00000.safetensors"
    assert names == {"config.json", "trainer.pt", "weights-00000.safetensors", optimizer}
    assert "weights/model.embed.text.weight" in manifest.tensors
    assert "weights/model.text_head.linear.weight" not in manifest.tensors
    (folder / optimizer).unlink()
    load_model(folder)


@pytest.mark.parametrize("file", ["weights-00000.safetensors", "config.json", "tokenizers/image.json"])
def test_damage_is_named(folder: Path, file: str) -> None:
    flip(folder / file, -3)
    with pytest.raises(DamagedError, match=rf"copy\.ckpt/{file}: checksum differs from what was written"):
        load_model(folder)
    (folder / file).unlink()
    with pytest.raises(DamagedError, match=rf"copy\.ckpt/{file}: No such file or directory"):
        load_model(folder)


def test_a_run_begins_from_what_was_exported(
    trained: tuple[Path, dict[str, torch.Tensor]], corpus: Path, tmp_path: Path
) -> None:
    """Out of a checkpoint and into a run: the same weights, bit for bit, from either folder."""
    path, weights = trained
    assert main(["export", str(path), str(tmp_path / "model")]) == 0
    for start in (path, tmp_path / "model"):
        module = Pretrain(str(corpus / "tokenizers"), tiny_config(), seed=7, init_from=str(start))
        torch.testing.assert_close(dict(module.model.state_dict()), dict(weights), rtol=0, atol=0)


def test_weights_that_half_match_are_listed(
    trained: tuple[Path, dict[str, torch.Tensor]], corpus: Path, tmp_path: Path
) -> None:
    assert main(["export", str(trained[0]), str(tmp_path / "model")]) == 0
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    weights["norm.scale"] = weights.pop("norm.weight")
    save_file(weights, file)
    with pytest.raises(ValueError, match=r"1 missing: norm\.weight; 1 unexpected: norm\.scale$"):
        Pretrain(str(corpus / "tokenizers"), tiny_config(), init_from=str(tmp_path / "model"))
    with pytest.raises(ValueError, match=r"don't fit model\.network: \d+ missing: .*blocks\.2"):
        Pretrain(str(corpus / "tokenizers"), tiny_config(layers=3), init_from=str(trained[0]))
