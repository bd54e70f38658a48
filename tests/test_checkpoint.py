"""A checkpoint works alone: model sizes and tokenizers are inside, and nothing in it is code."""

from __future__ import annotations

import shutil
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch

from omni.checkpoint import CHECKPOINT_KEY, describe, load_model, vocabulary_of
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.nn.config import Vocabulary
from omni.sequence import Text
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_config
from tests.tiny_run import fit, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint that Lightning wrote, in a folder with nothing else, and the weights it must hold.

    The corpus and the tokenizers that it was trained with are gone.
    """
    corpus, alone = (tmp_path_factory.mktemp(name) for name in ("corpus", "alone"))
    module = fit(write_corpus(corpus), corpus / "out", max_steps=2)
    shutil.move(corpus / "out" / "last.ckpt", alone / "last.ckpt")
    shutil.rmtree(corpus)
    return alone / "last.ckpt", module.model.state_dict()


def changed(checkpoint: Path, folder: Path, **entries: Any) -> Path:
    """A copy with other entries."""
    content = torch.load(checkpoint, weights_only=True)
    content.update(entries)
    torch.save(content, folder / "changed.ckpt")
    return folder / "changed.ckpt"


def test_it_works_alone(trained: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, weights = trained
    omni = Omni.from_checkpoint(path)
    assert not omni.model.training
    assert omni.model.config == tiny_config()
    assert omni.tokenizers.files() == tiny_tokenizers().files()
    torch.testing.assert_close(dict(omni.model.state_dict()), dict(weights), rtol=0, atol=0)
    (answer,) = omni.generate([Text("which digit?")], "text", SamplingOptions(max_text=3))
    assert isinstance(answer, Text)


def test_a_link_to_it_works_too(trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").symlink_to(trained[0])
    assert load_model(tmp_path / "last.ckpt")[0].config == tiny_config()


def test_what_describes_the_model_is_plain_data(trained: tuple[Path, dict[str, torch.Tensor]]) -> None:
    entry = torch.load(trained[0], weights_only=True)[CHECKPOINT_KEY]
    assert entry == describe(tiny_config(), tiny_tokenizers())
    assert entry["network"]["moe"]["experts"] == 4
    assert sorted(entry["tokenizers"])[-2:] == ["image.json", "text.model"]
    assert all(isinstance(content, bytes) for content in entry["tokenizers"].values())


def test_vocabulary_is_what_the_tokenizers_fix() -> None:
    assert vocabulary_of(tiny_tokenizers()) == Vocabulary(
        text=330, patch_values=16, max_grid=8, codebooks=3, codebook_size=16
    )


# ------------------------------------------------------------------ what is wrong is said

UNREADABLE = "not a checkpoint of `omni fit` or `omni demo`, or damaged"


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.ckpt: no such checkpoint file"):
        load_model(tmp_path / "none.ckpt")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99], ids=str)
def test_a_truncated_file_is_named(
    trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path, share: float
) -> None:
    content = trained[0].read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"cut\.ckpt: {UNREADABLE} \(\w+Error\)$"):
        load_model(path)


@pytest.mark.parametrize(
    "content", [{"state_dict": {}}, torch.zeros(3), [1, 2]], ids=["dict", "tensor", "list"]
)
def test_a_file_of_something_else_is_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt: no 'omni' entry, so not a checkpoint of `omni fit`"):
        load_model(tmp_path / "other.pt")


class Hostile:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harmed"),))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({CHECKPOINT_KEY: Hostile()}, "hostile.ckpt")
    with pytest.raises(ValueError, match=rf"hostile\.ckpt: {UNREADABLE} \(UnpicklingError\)$") as caught:
        load_model("hostile.ckpt")
    assert not Path("harmed").exists()
    shown = "".join(traceback.format_exception(caught.value))
    assert "weights_only=False" not in shown, "torch's advice would run it"
    assert "arbitrary code execution" not in shown


@pytest.mark.parametrize("device", ["cdua", "cuda:99", torch.device("cuda:99")], ids=str)
def test_a_device_that_is_not_there_is_named_before_the_file_is_read(
    tmp_path: Path, device: str | torch.device
) -> None:
    (tmp_path / "bad.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"^device '{device}' can't be used here: .+$") as caught:
        load_model(tmp_path / "bad.ckpt", device)
    assert "\n" not in str(caught.value)


def test_an_unknown_setting_is_named(trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    entry = describe(tiny_config(), tiny_tokenizers())
    entry["network"]["moe"]["expertz"] = 4
    path = changed(trained[0], tmp_path, omni=entry)
    with pytest.raises(
        ValueError, match=r"changed\.ckpt: network\.moe: unknown keys \['expertz'\], expected"
    ):
        load_model(path)


def test_a_setting_that_is_left_out_has_its_default(
    trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """So a checkpoint of an earlier version loads."""
    entry = describe(tiny_config(), tiny_tokenizers())
    del entry["network"]["rope"]["base"]
    assert load_model(changed(trained[0], tmp_path, omni=entry))[0].config.rope.base == 10_000


def test_weights_of_another_size_are_named(
    trained: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path = changed(trained[0], tmp_path, omni=describe(tiny_config(width=64), tiny_tokenizers()))
    with pytest.raises(ValueError, match=r"changed\.ckpt: its weights don't fit its config"):
        load_model(path)
