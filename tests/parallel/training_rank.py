"""One of two ranks: ``python -m torch.distributed.run --nproc-per-node 2 -m tests.parallel.training_rank CORPUS PART``.

Trains with OmniStrategy on several meshes and with each of its switches, and as DDP does beside it, and writes what
came out to ``CORPUS/PART-rank-r.json``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor
from torch.distributed.tensor import DTensor

from omni.optim.config import MuonConfig, OptimConfig
from omni.parallel.layout import Sharding
from omni.parallel.strategy import OmniStrategy
from omni.sequence import OmniBatch
from omni.training.compiling import CompileConfig
from omni.training.pretrain import Pretrain
from omni.training.whole import whole_model
from tests.tiny_run import GLOBAL_ROWS, NETWORK, OPTIM, AfterStep, fit

STEPS = 4
MUON = OptimConfig(optimizer="muon", lr=3e-3, warmup_steps=2, muon=MuonConfig(precision="fp32"))


class Losses(lightning.Callback):
    """Keeps what is logged at each step."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: OmniBatch, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.logged.append({name: value.item() for name, value in trainer.callback_metrics.items()})


class Run:
    """A training of a few steps."""

    def __init__(
        self, corpus: Path, name: str, strategy: Strategy | str, readers: int = 2, **settings: Any
    ) -> None:
        self.losses = Losses()
        compiled = settings.pop("compile", None)
        prepared = _Compiled(compiled) if compiled else lightning.Callback()
        self.module = fit(
            corpus,
            corpus / name,
            batch_rows=1,
            devices=2,
            strategy=strategy,
            accumulate_grad_batches=GLOBAL_ROWS // readers,
            callbacks=[self.losses, prepared, *settings.pop("callbacks", [])],
            **settings,
        )

    def weights(self) -> dict[str, Tensor]:
        return {name: whole(tensor) for name, tensor in self.module.model.state_dict().items()}

    def apart(self, other: Run) -> float:
        """Largest difference of a weight."""
        mine, theirs = self.weights(), other.weights()
        return max((mine[name] - theirs[name]).abs().max().item() for name in theirs)

    def text_losses(self) -> list[float]:
        return [logged["train/text"] for logged in self.losses.logged]


class _Compiled(lightning.Callback):
    """Says what to compile before the module looks."""

    def __init__(self, config: CompileConfig) -> None:
        self.config = config

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        pl_module.compile_config = self.config


def whole(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def meshes(corpus: Path) -> dict[str, Any]:
    """fp64, where different orders of summing can't hide a mistake."""
    kinds: dict[str, tuple[Callable[[], Strategy], int]] = {
        "expert": (lambda: OmniStrategy(expert=2), 2),
        "context": (lambda: OmniStrategy(context=2), 1),
        "shard": (lambda: OmniStrategy(shard=2), 2),
    }
    ddp = Run(corpus, "ddp", "ddp", dtype=torch.float64)
    found: dict[str, Any] = {}
    for name, (strategy, readers) in kinds.items():
        run = Run(corpus, name, strategy(), readers, dtype=torch.float64)
        logged = [
            max(abs(a[key] - b[key]) for key in a if key.startswith("train/"))
            for a, b in zip(run.losses.logged, ddp.losses.logged, strict=True)
        ]
        found[name] = {"apart": run.apart(ddp), "logged apart": max(logged)}
    moved = Run(corpus, "none", "ddp", dtype=torch.float64, max_steps=1)
    return found | {
        "moved": ddp.apart(moved),
        "steps": len(ddp.losses.logged),
        "logged": ddp.losses.logged[-1],
    }


def switches(corpus: Path) -> dict[str, Any]:
    """Each switch against the same run without it; recomputation and resharding are in ``exact_rank``."""

    def run(name: str, sharding: Sharding = Sharding(), **settings: Any) -> Run:  # noqa: B008
        strategy = OmniStrategy(expert=2, sharding=sharding)
        return Run(corpus, name, strategy, max_steps=STEPS, save_every=2, **settings)

    plain = run("plain")
    mixed = run("mixed", precision="bf16-mixed")
    muon = Run(corpus, "muon-ddp", "ddp", max_steps=STEPS, optim=MUON)
    run("stopped", callbacks=[AfterStep(2, _stop)])
    reduced = run("reduce", Sharding(reduce="bf16"))
    losses = {"plain": plain, "mixed": mixed, "reduce bf16": reduced}
    return {
        "apart": {
            "offload": run("offload", Sharding(offload=True)).apart(plain),
            "gather bf16": run("gather", Sharding(gather="bf16"), precision="bf16-mixed").apart(mixed),
            "muon": run("muon", optim=MUON).apart(muon),
            "resumed": run("resumed", resume=corpus / "stopped" / "last.ckpt").apart(plain),
        },
        "losses": {name: one.text_losses() for name, one in losses.items()},
        "whole": _whole_apart(plain),
        "drawn sharded": drawn_apart(corpus),
    }


def _stop(trainer: lightning.Trainer) -> None:
    trainer.should_stop = True


def _whole_apart(run: Run) -> float:
    """Weights of the copy that evaluates, against those that ranks share."""
    copied = whole_model(run.module.model).state_dict()
    return max((weight - copied[name]).abs().max().item() for name, weight in run.weights().items())


def drawn_apart(corpus: Path) -> float:
    """Weights drawn when they are shared out, against those of one process."""
    drawn = [
        Pretrain(str(corpus / "tokenizers"), NETWORK, OPTIM, 3, draw_sharded=sharded)
        for sharded in (True, False)
    ]
    trainer = lightning.Trainer(
        strategy=OmniStrategy(expert=2), accelerator="cpu", devices=2, logger=False, barebones=True
    )
    strategy = trainer.strategy
    assert isinstance(strategy, OmniStrategy)
    strategy.connect(drawn[0])
    strategy._lightning_module = drawn[0]
    strategy.setup_environment()
    strategy._share(drawn[0].model)
    pairs = zip(drawn[0].model.parameters(), drawn[1].model.parameters(), strict=True)
    return max((whole(a) - whole(b)).abs().max().item() for a, b in pairs)


def compiled(corpus: Path) -> dict[str, Any]:
    """Compiled parts inside sharded ones."""
    config = CompileConfig(experts=True, attention=True)
    plain = Run(corpus, "plain", OmniStrategy(expert=2), max_steps=STEPS)
    run = Run(corpus, "compiled", OmniStrategy(expert=2), compile=config, max_steps=STEPS)
    return {"apart": run.apart(plain)}


def main(corpus: Path, part: str) -> None:
    """Train and write."""
    torch.set_num_threads(1)
    found = {"meshes": meshes, "switches": switches, "compiled": compiled}[part](corpus)
    (corpus / f"{part}-rank-{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
