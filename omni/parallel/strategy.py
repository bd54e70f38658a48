"""The Lightning strategy of models that ranks share: mesh, checkpoints' state and clipping for one device mesh."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

import lightning
from lightning.pytorch.strategies.parallel import ParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from omni.model import OmniTransformer
from omni.nn.weightless import is_weightless
from omni.parallel.checkpoint.strategy import ShardedCheckpoints
from omni.parallel.layout import Sharding, lay_out, take_memory
from omni.parallel.mesh import KEY, MeshSizes, build_mesh
from omni.training.gradients import GradientNorms

PRECISIONS = ("32-true", "bf16-mixed")


@runtime_checkable
class DrawsWeights(Protocol):
    """A module that can draw its weights when they are shared out."""

    def draw_weights(self) -> None:
        """Give the model its weights."""
        ...


class OmniStrategy(ShardedCheckpoints):
    """Shares every ``OmniTransformer`` of a LightningModule out over replicate x shard x context x expert ranks.

    Lightning's own strategy knows data x tensor meshes and leaves the sharding to the module. This one does it, so
    a module is written as for one process: it multiplies its loss by ``trainer.world_size``, as under DDP, and logs
    what ranks have added up.
    """

    def __init__(
        self,
        replicate: int = 1,
        shard: int = 1,
        context: int = 1,
        expert: int = 1,
        sharding: Sharding = Sharding(),  # noqa: B008 (frozen)
        process_group_backend: str | None = None,
        timeout_minutes: float = 30.0,
    ) -> None:
        """
        Args:
            replicate: copies of all weights.
            shard: ranks that split weights, gradients and optimizer state (FSDP2).
            context: ranks that share out the positions of a row.
            expert: ranks that share out the experts of a layer; each reads rows of its own.
            sharding: how weights are split, gathered and kept.
            process_group_backend: by default nccl on GPUs, with gloo beside it for ``sharding.offload``, and gloo
                on CPUs.
            timeout_minutes: after which ranks that wait for others give up.
        """
        self.sizes = MeshSizes(replicate=replicate, shard=shard, context=context, expert=expert)
        self.sharding = sharding
        super().__init__(
            process_group_backend=process_group_backend,
            timeout=timedelta(minutes=timeout_minutes),
        )

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Which rows this rank reads, and in how many parts they are split."""
        return {"num_replicas": self.sizes.readers, "rank": self.sizes.reader(self.global_rank)}

    def setup_environment(self) -> None:
        """
        Join the other processes and build the mesh.

        Raises:
            ValueError: the mesh is not that of so many processes.
        """
        ParallelStrategy.setup_environment(self)
        self.sizes.check_world(self.num_nodes * self.num_processes)
        self._setup_distributed()
        self.meshes = build_mesh(self.root_device, self.sizes)
        self._device_mesh = self.meshes.all

    def setup(self, trainer: lightning.Trainer) -> None:
        """
        Share the models out, then set up optimizers.

        Raises:
            ValueError: a model that the mesh doesn't fit, a precision that sharding doesn't go with, or parameters
                beside the models, which nobody would share out.
        """
        assert self.accelerator is not None and self.lightning_module is not None
        self.accelerator.setup(trainer)
        self._check_precision(trainer)
        module = self.lightning_module
        models = [part for part in module.modules() if isinstance(part, OmniTransformer)]
        _check_all_shared(module, models)
        for model in models:
            if not _is_laid_out(model):
                self._share(model)
        self.precision_plugin.clip_grad_by_norm = self._clip  # type: ignore[method-assign]
        self.barrier()
        if trainer.state.fn == TrainerFn.FITTING:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    def _share(self, model: OmniTransformer) -> None:
        self.sizes.check_with(model.config)
        undrawn = is_weightless(model)
        lay_out(model, self.meshes, self.sharding)
        if undrawn:
            assert isinstance(self.lightning_module, DrawsWeights), type(self.lightning_module)
            take_memory(model, "cpu" if self.sharding.offload else self.root_device)
            self.lightning_module.draw_weights()

    def _check_precision(self, trainer: lightning.Trainer) -> None:
        precision = trainer.precision
        if precision not in PRECISIONS:
            raise ValueError(
                f"trainer.precision must be one of {', '.join(PRECISIONS)} with OmniStrategy, got {precision!r}: "
                f"the scale of fp16's losses is not shared between ranks"
            )
        if self.sharding.gather == "bf16" and precision != "bf16-mixed":
            raise ValueError(
                f"{KEY}.sharding.gather bf16 rounds experts' weights, so it needs trainer.precision bf16-mixed, "
                f"whose products round them anyway; got {precision!r}"
            )

    def _get_process_group_backend(self) -> str:
        backend = super()._get_process_group_backend()
        chosen = self._process_group_backend is not None
        return "cpu:gloo,cuda:nccl" if backend == "nccl" and self.sharding.offload and not chosen else backend

    def _clip(self, optimizer: Optimizer, clip_val: int | float) -> None:
        """Clip by the norm of whole gradients, which torch refuses over more than one mesh."""
        GradientNorms.of(self.precision_plugin.main_params(optimizer)).clip(float(clip_val))

    def backward(
        self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Undo the module's factor for a mean over ranks: gradients are summed here."""
        return super().backward(closure_loss / self.world_size, optimizer, *args, **kwargs)


def _is_laid_out(model: nn.Module) -> bool:
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def _check_all_shared(module: nn.Module, models: list[OmniTransformer]) -> None:
    shared = {id(parameter) for model in models for parameter in model.parameters()}
    beside = [name for name, parameter in module.named_parameters() if id(parameter) not in shared]
    if beside:
        raise ValueError(
            f"OmniStrategy shares out OmniTransformers only, and {type(module).__name__} has parameters beside "
            f"them: {', '.join(beside[:8])}. Train it with trainer.strategy ddp"
        )
