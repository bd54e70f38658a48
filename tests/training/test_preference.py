"""Learning from preferences: what a loss depends on, and what it doesn't."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

import lightning
import pytest
import torch

from omni.checkpoint import load_model
from omni.datamodules.pair_datamodule import PairDataModule
from omni.datamodules.stream.pairs import PairSequence
from omni.datamodules.stream.plan_config import PlanConfig
from omni.optim.config import OptimConfig
from omni.training.dpo import Dpo, DpoConfig
from omni.training.preference import Preference
from omni.training.pretrain import Pretrain
from omni.training.reward import RewardHead, RewardTraining, load_reward_model
from tests.tiny_model import gradients, shake, tiny_config
from tests.tiny_run import AfterStep
from tests.training.pair_data import batch_of, tiny_pairs, write_pairs

OPTIM = OptimConfig(lr=2e-3, warmup_steps=2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def start(corpus: Path) -> str:
    """A checkpoint to start from: that of a run of no steps whose weights aren't zero."""
    module = Pretrain(str(corpus / "tokenizers"), tiny_config(), OPTIM)
    shake(module)
    trainer = lightning.Trainer(accelerator="cpu", logger=False, default_root_dir=corpus)
    trainer.strategy.connect(module)
    path = corpus / "start.ckpt"
    trainer.save_checkpoint(path)
    return str(path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[PairSequence]:
    return tiny_pairs(8, tmp_path_factory.mktemp("pairs"))


Kind = TypeVar("Kind", bound=Preference)


def stage(kind: type[Kind], corpus: Path, start: str) -> Kind:
    return kind(tokenizers=str(corpus / "tokenizers"), network=tiny_config(), optim=OPTIM, init_from=start)


def test_pairs_of_every_modality_are_there(pairs: list[PairSequence]) -> None:
    assert {pair.answer for pair in pairs} == {0, 1, 2}


@pytest.mark.parametrize("kind", [RewardTraining, Dpo])
def test_packing_and_accumulation_leave_the_gradient_as_it_is(
    kind: type[Preference], corpus: Path, start: str, pairs: list[PairSequence]
) -> None:
    module = stage(kind, corpus, start).double().eval()  # evaluation noise: a function of the pair alone
    shake(module, seed=5)  # away from the reference

    def gradient(*batches: list[list[PairSequence]]) -> dict[str, torch.Tensor]:
        module.zero_grad()
        for rows in batches:
            batch = batch_of(rows, pairs)
            (module.compare(batch).losses.sum() / batch.targets.sum()).backward()
        return gradients(module.model)

    together = gradient([pairs])
    for other in (gradient([pairs[:3], pairs[3:]]), gradient([pairs[4:]], [pairs[:1], pairs[1:4]])):
        for name, found in other.items():
            torch.testing.assert_close(found, together[name], rtol=1e-7, atol=1e-11, msg=name)
    assert any(found.any() for found in together.values())


def test_a_damaged_pair_is_padding(corpus: Path, start: str, pairs: list[PairSequence]) -> None:
    module = stage(RewardTraining, corpus, start).eval()
    hole = PairDataModule(str(corpus / "tokenizers"), str(corpus / "pairs"), measure=True)
    hole.setup("fit")
    gap = hole.folders[str(corpus / "pairs")].store.hole(20)
    alone = module.compare(batch_of([[pairs[0]], [pairs[1]]], pairs))
    beside = module.compare(batch_of([[pairs[0], gap], [gap, pairs[1]]], pairs))
    torch.testing.assert_close(alone.losses, beside.losses)


def test_a_pair_that_is_the_same_once_encoded_is_refused(pairs: list[PairSequence]) -> None:
    half = pairs[0].halves[0]
    with pytest.raises(ValueError, match="are the same once they are encoded"):
        PairSequence.join(half, half)


class TestDpo:
    def test_begins_at_the_reference(self, corpus: Path, start: str, pairs: list[PairSequence]) -> None:
        compared = stage(Dpo, corpus, start).eval().compare(batch_of([pairs], pairs))
        torch.testing.assert_close(compared.losses, torch.full((8,), math.log(2)))
        assert (compared.figures["rewards/chosen"].abs() < 1e-5).all()
        assert (compared.figures["logps/chosen"] < 0).all()

    def test_a_pair_is_its_formula(self, corpus: Path, start: str, pairs: list[PairSequence]) -> None:
        module = stage(Dpo, corpus, start).eval()
        module.dpo = DpoConfig(beta=0.3, label_smoothing=0.2)
        shake(module.model, seed=5)
        batch = batch_of([pairs], pairs)
        compared = module.compare(batch)
        policy, reference = (module.log_probs(m, batch).tolist() for m in (module.model, module.reference))
        for (c, r), loss in zip(batch.pairs, compared.losses.tolist(), strict=True):
            margin = 0.3 * ((policy[c] - reference[c]) - (policy[r] - reference[r]))
            wanted = 0.8 * math.log1p(math.exp(-margin)) + 0.2 * math.log1p(math.exp(margin))
            assert loss == pytest.approx(wanted, rel=1e-4)

    def test_both_answers_and_both_models_meet_the_same_noise(
        self, corpus: Path, start: str, pairs: list[PairSequence]
    ) -> None:
        module = stage(Dpo, corpus, start).eval()
        batch = batch_of([pairs], pairs)
        seeds = [generator.initial_seed() for generator in module._noise(batch).generators]
        for chosen, rejected in batch.pairs:
            assert seeds[chosen] == seeds[rejected]
        assert len(set(seeds)) == len(pairs) + 1, "another for each pair, and 0 for padding"

    def test_learns_what_is_preferred_and_goes_on_exactly(
        self, corpus: Path, start: str, tmp_path: Path
    ) -> None:
        whole = run(stage(Dpo, corpus, start), corpus, tmp_path, save=6)
        assert whole.trainer.callback_metrics["rewards/margins"] > 0.2
        assert {"rewards/margins/text", "rewards/margins/image", "rewards/margins/audio"} <= set(
            whole.trainer.callback_metrics
        )
        again = run(stage(Dpo, corpus, start), corpus, tmp_path, resume=tmp_path / "at-6.ckpt")
        for name, found in whole.state_dict().items():
            assert torch.equal(found, again.state_dict()[name]), name
        assert not any("reference" in name for name in whole.state_dict())
        load_model(tmp_path / "at-6.ckpt")  # generates as any other

    def test_needs_a_model_to_start_from(self, corpus: Path) -> None:
        with pytest.raises(ValueError, match=r"model\.init_from is missing: DPO starts"):
            Dpo(tokenizers=str(corpus / "tokenizers"), network=tiny_config())


class TestReward:
    def test_the_head_starts_as_published(self, corpus: Path, start: str) -> None:
        wide = stage(RewardTraining, corpus, start).model.reward_head
        drawn = torch.stack([_drawn(wide, seed) for seed in range(200)])
        assert drawn.std() == pytest.approx(1 / math.sqrt(32 + 1), rel=0.05)
        assert (wide.bias == 0).all()

    def test_only_the_last_position_is_scored(
        self, corpus: Path, start: str, pairs: list[PairSequence]
    ) -> None:
        module = stage(RewardTraining, corpus, start).eval()
        batch = batch_of([pairs], pairs)
        x_ND = module.model(batch).x_BSD[0]
        scores = module.model.scores(batch)
        ends = torch.tensor(batch.lengths).cumsum(0) - 1
        assert (batch.text_ids[0, ends[:-1]] == module.tokenizers.text.end).all()
        head = module.model.reward_head
        wanted = (x_ND[ends] @ head.weight[0]).tolist()
        assert scores.tolist() == pytest.approx(wanted, abs=1e-5)

    def test_learns_logs_by_modality_and_normalises(self, corpus: Path, start: str, tmp_path: Path) -> None:
        module = run(stage(RewardTraining, corpus, start), corpus, tmp_path, save=12, steps=12)
        logged = module.trainer.callback_metrics
        assert logged["accuracy"] > 0.6
        for name in ("accuracy", "margin", "min_reward", "mean_reward", "max_reward", "loss"):
            assert {name, f"val/{name}", f"{name}/text", f"val/{name}/audio"} <= set(logged), name
        assert logged["val/min_reward"] < logged["val/mean_reward"] < logged["val/max_reward"]
        head = load_reward_model(tmp_path / "at-12.ckpt")[0].reward_head
        assert (head.moments[0] > 0).all()
        mean_M, square_M = head.moments[1] / head.moments[0], head.moments[2] / head.moments[0]
        scores = torch.tensor([1.0, 2.0, 3.0])
        wanted = (scores - mean_M) / (square_M - mean_M**2).sqrt()
        torch.testing.assert_close(head.normalised(scores, torch.arange(3)), wanted, rtol=1e-4, atol=1e-4)

    def test_a_policy_is_no_reward_model_and_the_other_way_round(self, start: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"start\.ckpt: no reward head in it"):
            load_reward_model(start)
        with pytest.raises(ValueError, match="no such checkpoint"):
            load_reward_model(tmp_path / "none.ckpt")


def _drawn(head: RewardHead, seed: int) -> torch.Tensor:
    head.initialise(seed)
    return head.weight.detach().clone()


def run(
    module: Kind,
    corpus: Path,
    out: Path,
    *,
    save: int = 0,
    steps: int = 10,
    resume: Path | None = None,
) -> Kind:
    """Train on all pairs; a checkpoint behind step ``save``."""
    plan = PlanConfig(row_length=512, global_rows=4, window=64)
    folder = str(corpus / "pairs")
    data = PairDataModule(str(corpus / "tokenizers"), folder, folder, plan, 2, cache=True)
    saved = out / f"at-{save}.ckpt"

    def keep(trainer: lightning.Trainer) -> None:
        if not saved.exists():  # the step's number stands until the next step is done
            trainer.save_checkpoint(saved)

    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        accumulate_grad_batches=2,
        gradient_clip_val=1.0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        val_check_interval=2 * steps,
        check_val_every_n_epoch=None,
        default_root_dir=out,
        callbacks=[AfterStep(save, keep)],
    )
    trainer.fit(module, data, ckpt_path=resume, weights_only=True if resume else None)
    return module
