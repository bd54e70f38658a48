"""The module around the model: where its weights come from, what it refuses, what it logs and saves."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from omni.callbacks.checkpoint import Checkpoints
from omni.callbacks.router import RouterTelemetry
from omni.checkpoint import load_model
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.sources import SourceConfig
from omni.datamodules.stream.loader import PlannedLoader
from omni.datamodules.stream.plan_config import PlanConfig
from omni.inference.omni import Omni
from omni.inference.score import text_nats
from omni.losses import compute_losses, loss_names
from omni.nn.config import InitConfig, MoEConfig, TextHeadConfig
from omni.nn.context_config import RecomputeConfig, RopeConfig, YarnConfig
from omni.optim.config import OptimConfig
from omni.sequence import OmniBatch
from omni.snapshot.manifest import read_manifest
from omni.training.pretrain import Pretrain
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_model import tiny_config
from tests.tiny_run import OPTIM, ROW_LENGTH, STEPS, build, fit, write_corpus, write_measured


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


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_run_whose_experts_choose_learns_with_the_router_watched_and_its_checkpoint_is_refused(
    corpus: Path, tmp_path: Path
) -> None:
    moe = MoEConfig(experts=4, expert_width=16, choice="experts")
    module = fit(corpus, tmp_path, network=tiny_config(moe=moe), callbacks=[RouterTelemetry(1)])
    start = build(corpus, 4, network=tiny_config(moe=moe))[0]
    moved = module.model.state_dict()
    name = "blocks.0.moe.experts.w13"
    assert moved[name].isfinite().all()
    assert not moved[name].equal(start.model.state_dict()[name])
    assert moved["blocks.0.moe.router.bias"].equal(start.model.state_dict()["blocks.0.moe.router.bias"])
    with pytest.raises(ValueError, match=r"last\.ckpt: a model with model\.network\.moe\.choice experts"):
        Omni.from_checkpoint(tmp_path / "last.ckpt")


def test_a_run_with_other_tokenizers_is_not_resumed(corpus: Path, trained: Path, tmp_path: Path) -> None:
    other = copy.deepcopy(tiny_tokenizers())
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
    assert isinstance(loader, PlannedLoader) and len(loader) > 1
    with torch.no_grad():
        losses = [compute_losses(module.model, module.model(batch), batch) for batch in loader]
    counts_M = torch.stack([one.counts_M for one in losses]).sum(0)
    means = torch.stack([one.sums_M for one in losses]).sum(0) / counts_M
    for name, mean in zip(loss_names(), means, strict=True):
        assert trainer.callback_metrics[f"val/{name}"] == pytest.approx(float(mean), rel=1e-5)


def test_each_source_of_validation_has_its_own_losses(corpus: Path, tmp_path: Path) -> None:
    """Those of the source validated alone, and no average over sources."""
    write_measured(tiny_documents(7, seed=3), tmp_path / "few", corpus / "tokenizers")
    folders = {"many": str(corpus / "train"), "few": str(tmp_path / "few")}

    def validated(sources: dict[str, str], by_name: bool) -> dict[str, float]:
        module, data = build(corpus, 2)
        data.sources["val"] = {name: SourceConfig(folder=folder) for name, folder in sources.items()}
        data.val_by_source = by_name
        trainer = lightning.Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False
        )
        trainer.validate(module, data, verbose=False)
        return {name: float(value) for name, value in trainer.callback_metrics.items()}

    both = validated(folders, by_name=True)
    assert set(both) == {f"val/{source}/{name}" for source in folders for name in loss_names()}
    for source, folder in folders.items():
        assert validated({source: folder}, by_name=True) == {
            name: pytest.approx(value) for name, value in both.items() if name.startswith(f"val/{source}/")
        }
        alone = validated({source: folder}, by_name=False)
        assert alone == {f"val/{n}": pytest.approx(both[f"val/{source}/{n}"]) for n in loss_names()}
    assert both["val/many/text"] != both["val/few/text"]


def test_the_last_checkpoint_is_of_the_last_step(corpus: Path, tmp_path: Path) -> None:
    periodic = Checkpoints(tmp_path / "kept", save_last="link", every_n_train_steps=3, filename="step-{step}")
    fit(corpus, tmp_path, callbacks=[periodic])
    last = tmp_path / "kept" / "last.ckpt"
    assert last.is_symlink() and read_manifest(last).step == STEPS


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
