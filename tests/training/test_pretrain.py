"""The module around the model: where its weights come from, what it refuses, what it logs and saves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from omni.callbacks.checkpoint import Checkpoints
from omni.checkpoint import load_model
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.stream.plan_config import PlanConfig
from omni.inference.score import text_nats
from omni.losses import compute_losses, loss_names
from omni.nn.config import InitConfig, TextHeadConfig
from omni.nn.context_config import RecomputeConfig, RopeConfig, YarnConfig
from omni.optim.config import OptimConfig
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_config
from tests.tiny_run import OPTIM, ROW_LENGTH, STEPS, build, fit, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    fit(corpus, out)
    return out / "last.ckpt"


def test_fine_tuning_starts_from_the_weights_of_a_checkpoint(corpus: Path, trained: Path) -> None:
    module = Pretrain(str(corpus / "tokenizers"), tiny_config(), init_from=str(trained))
    kept = torch.load(trained, weights_only=True)["state_dict"]
    assert all(torch.equal(kept[f"model.{name}"], found) for name, found in module.model.state_dict().items())


def test_a_context_is_extended_from_a_checkpoint_of_short_rows(
    corpus: Path, trained: Path, tmp_path: Path
) -> None:
    """Other frequencies, the same weights; what is trained then is read back with its own frequencies."""
    rope = RopeConfig(base=20_000.0, yarn=YarnConfig(factor=4.0, original_length=ROW_LENGTH))
    network = dataclasses.replace(tiny_config(), rope=rope, recompute=RecomputeConfig(mode="blocks"))
    module = Pretrain(str(corpus / "tokenizers"), network, OPTIM, init_from=str(trained))
    kept = torch.load(trained, weights_only=True)["state_dict"]
    assert all(torch.equal(kept[f"model.{name}"], found) for name, found in module.model.state_dict().items())
    plan = PlanConfig(row_length=4 * ROW_LENGTH, global_rows=1, window=64)
    data = OmniDataModule(str(corpus / "tokenizers"), str(corpus / "train"), None, plan, 1)
    saved = ModelCheckpoint(tmp_path, save_last=True, every_n_train_steps=1)
    trainer = lightning.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[saved]
    )
    trainer.fit(module, data)
    assert load_model(tmp_path / "last.ckpt")[0].rotary.rope == rope


def test_weights_of_another_size_are_refused(corpus: Path, trained: Path) -> None:
    wider = dataclasses.replace(tiny_config(), width=2 * tiny_config().width)
    with pytest.raises(ValueError, match=r"its weights don't fit model.network"):
        Pretrain(str(corpus / "tokenizers"), wider, init_from=str(trained))


def test_precisions_that_round_what_must_not_be_rounded_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trainer\.precision must be one of 32-true, .*, got 'bf16-true'"):
        fit(corpus, tmp_path, precision="bf16-true")


def test_a_batch_with_an_unknown_id_stops_the_run_and_names_the_document(
    corpus: Path, tmp_path: Path
) -> None:
    module, data = build(corpus, 4)
    data.setup("fit")
    sequence = data.folders[str(corpus / "train")].store[7]
    sequence.text_ids[2] = 330
    trainer = lightning.Trainer(max_steps=2, accelerator="cpu", logger=False, default_root_dir=tmp_path)
    with pytest.raises(
        ValueError, match=rf"document '{sequence.key}': text id 330 at position 2 .* 0\.\.329"
    ):
        trainer.fit(module, data)


def test_a_schedule_that_decays_needs_an_end(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trainer\.max_steps must be positive .* cosine, .* got -1"):
        fit(corpus, tmp_path, max_steps=-1, max_epochs=1)


def test_muon_under_mup_is_checked_before_anything_is_loaded() -> None:
    network = tiny_config(text=TextHeadConfig(tied=False), init=InitConfig(method="mup", base_width=32))
    with pytest.raises(ValueError, match=r"model\.optim\.muon\.adjust"):
        Pretrain("nowhere", network, OptimConfig(optimizer="muon"))


def test_a_run_with_other_tokenizers_is_not_resumed(corpus: Path, trained: Path, tmp_path: Path) -> None:
    other = tiny_tokenizers()
    coarser = dataclasses.replace(other.image.config, max_patches=other.image.config.max_patches - 1)
    other.image.config = coarser
    module, data = build(corpus, 4)
    module.tokenizers = other
    trainer = lightning.Trainer(
        max_steps=STEPS + 1, accelerator="cpu", logger=False, default_root_dir=tmp_path
    )
    with pytest.raises(ValueError, match=r"not those of the checkpoint: image.json differ"):
        trainer.fit(module, data, ckpt_path=trained, weights_only=True)


def test_validation_logs_the_mean_per_target_of_all_batches(corpus: Path) -> None:
    module, data = build(corpus, 2)
    data.sources["val"] = data.sources["train"]
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False
    )
    trainer.validate(module, data, verbose=False)
    loader = data.val_dataloader()
    assert not isinstance(loader, list) and len(loader) > 1
    with torch.no_grad():
        losses = [compute_losses(module.model, module.model(batch), batch) for batch in loader]
    counts_M = torch.stack([one.counts_M for one in losses]).sum(0)
    means = torch.stack([one.sums_M for one in losses]).sum(0) / counts_M
    for name, mean in zip(loss_names(), means, strict=True):
        assert trainer.callback_metrics[f"val/{name}"] == pytest.approx(float(mean), rel=1e-5)


def test_the_last_checkpoint_is_of_the_last_step(corpus: Path, tmp_path: Path) -> None:
    periodic = Checkpoints(tmp_path / "kept", save_last="link", every_n_train_steps=3, filename="step-{step}")
    fit(corpus, tmp_path, callbacks=[periodic])
    last = tmp_path / "kept" / "last.ckpt"
    assert last.is_symlink() and torch.load(last, weights_only=True)["global_step"] == STEPS


def test_scoring_moves_the_batch_to_the_model(corpus: Path) -> None:
    module, data = build(corpus, 1)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    moved: list[torch.device] = []

    def to(device: torch.device) -> OmniBatch:
        moved.append(device)
        return batch

    object.__setattr__(batch, "to", to)
    text_nats(module.model, batch)
    assert moved == [torch.device("cpu")]
