"""The tensors of a Lightning checkpoint by name, and the rest of it: what is sharded, and what is small.

    weights/model.blocks.0.moe.experts.w13             a parameter or buffer of the module
    optimizer/0/model.blocks.0.moe.experts.w13/exp_avg the first optimizer's state of a parameter

Optimizers number their parameters. Numbers depend on how parameters are grouped, names don't, so a checkpoint has
names, and numbers are given when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from omni.checkpoint import WEIGHTS_PREFIX
from omni.snapshot.accounts import listed
from omni.snapshot.storage import Tensors

WEIGHTS, OPTIMIZER = WEIGHTS_PREFIX, "optimizer/"
ALIASES = "aliases"
"""Entry of the rest: names of parameters that are others under a second name, each with the first."""


def aliases(module: nn.Module) -> dict[str, str]:
    """Names of tied parameters, each with the first name; the same on all ranks."""
    first: dict[int, str] = {}
    found = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            found[name] = first[id(parameter)]
    return found


def split(
    checkpoint: Mapping[str, Any], module: nn.Module, optimizers: Seq[Optimizer]
) -> tuple[Tensors, dict[str, Any]]:
    """Named tensors of a checkpoint of Lightning's, and its rest without them.

    Raises:
        ValueError: an optimizer has a parameter that is none of the module.
    """
    tied, rest = aliases(module), dict(checkpoint)
    state = rest.pop("state_dict")
    tensors = {WEIGHTS + n: t for n, t in state.items() if isinstance(t, Tensor) and n not in tied}
    rest["state_dict"] = {name: value for name, value in state.items() if not isinstance(value, Tensor)}
    rest[ALIASES] = tied
    kept = []
    for number, saved in enumerate(rest.pop("optimizer_states", [])):
        names = parameter_names(module, optimizers[number])
        named, others = _split_optimizer(saved, names, f"{OPTIMIZER}{number}/")
        tensors.update(named)
        kept.append(others)
    if kept:
        rest["optimizer_states"] = kept
    return tensors, rest


def join(tensors: Tensors, rest: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint that ``split`` took apart; its optimizers have names, until ``give_numbers``."""
    checkpoint = dict(rest)
    weights = {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)}
    weights.update(
        {name: weights[first] for name, first in checkpoint.pop(ALIASES).items() if first in weights}
    )
    checkpoint["state_dict"] = {**weights, **checkpoint["state_dict"]}
    for number, saved in enumerate(checkpoint.get("optimizer_states", ())):
        prefix = f"{OPTIMIZER}{number}/"
        state = {name: dict(values) for name, values in saved["state"].items()}
        for full, tensor in tensors.items():
            if full.startswith(prefix):
                name, _, key = full.removeprefix(prefix).rpartition("/")
                state.setdefault(name, {})[key] = tensor
        checkpoint["optimizer_states"][number] = {**saved, "state": state}
    return checkpoint


def give_numbers(checkpoint: dict[str, Any], module: nn.Module, optimizers: Seq[Optimizer]) -> None:
    """Turn names of parameters into the numbers that these optimizers give them, in place.

    A single file of Lightning's has numbers, and is left as it is.

    Raises:
        ValueError: an optimizer has other parameters, or has them in other groups; lists them.
    """
    states = checkpoint.get("optimizer_states", [])
    if all(
        isinstance(p, int) for saved in states for group in saved["param_groups"] for p in group["params"]
    ):
        return
    if len(states) not in (0, len(optimizers)):
        raise ValueError(f"the checkpoint has {len(states)} optimizers, the run has {len(optimizers)}")
    for number, (saved, optimizer) in enumerate(zip(states, optimizers, strict=False)):
        names = parameter_names(module, optimizer)
        groups = [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]
        theirs = [set(group["params"]) for group in saved["param_groups"]]
        if [set(group) for group in groups] != theirs:
            raise ValueError(
                f"optimizer {number} has other parameters than the checkpoint's: {_unlike(groups, theirs)}"
            )
        order = {name: place for place, name in enumerate(name for group in groups for name in group)}
        states[number] = {
            **saved,
            "state": {order[name]: values for name, values in saved["state"].items()},
            "param_groups": [
                {**group, "params": [order[name] for name in mine]}
                for group, mine in zip(saved["param_groups"], groups, strict=True)
            ],
        }


def parameter_names(module: nn.Module, optimizer: Optimizer) -> dict[int, str]:
    """Name of each of the optimizer's parameters, by ``id``.

    Raises:
        ValueError: a parameter is none of the module.
    """
    known = {id(parameter): name for name, parameter in module.named_parameters()}
    own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if strange := [list(parameter.shape) for parameter in own if id(parameter) not in known]:
        raise ValueError(
            f"the optimizer has parameters that aren't the module's, of shapes {listed(strange)}"
        )
    return {id(parameter): known[id(parameter)] for parameter in own}


def _split_optimizer(
    saved: Mapping[str, Any], names: Mapping[int, str], prefix: str
) -> tuple[Tensors, dict[str, Any]]:
    order = list(names.values())
    tensors: Tensors = {}
    state: dict[str, dict[str, Any]] = {}
    for number, values in saved["state"].items():
        state[order[number]] = {key: value for key, value in values.items() if not isinstance(value, Tensor)}
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}{order[number]}/{key}"] = value
    groups = [{**group, "params": [order[n] for n in group["params"]]} for group in saved["param_groups"]]
    return tensors, {**saved, "state": state, "param_groups": groups}


def _unlike(groups: Iterable[Iterable[str]], theirs: Iterable[Iterable[str]]) -> str:
    own, saved = ({name for group in one for name in group} for one in (groups, theirs))
    missing, unexpected = sorted(own - saved), sorted(saved - own)
    parts = [f"missing {listed(missing)}"] if missing else []
    parts += [f"unexpected {listed(unexpected)}"] if unexpected else []
    return "; ".join(parts) or "the same ones, in other groups (model.optim differs)"
