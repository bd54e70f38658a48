"""How GPUs are laid out: the five dimensions, what they may be for a config, and all that fit a number of GPUs.

``dp`` and ``ep`` split the rows, ``cp`` the positions of a row, ``pp`` the layers, ``tp`` heads and hidden
channels. Experts lie on ``ep``; weights, gradients and moments are sharded over ``dp``, ``cp`` and (but for the
experts) ``ep``, as in FSDP. Neighbouring GPUs differ in ``tp`` first, then ``ep``, ``cp``, ``pp``, ``dp``:
what can't be hidden behind compute stays inside a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import gcd, prod

from omni.nn.config import KEY, ModelConfig
from omni.planning.hardware import NODE
from omni.planning.workload import Workload

DIMENSIONS = ("dp", "ep", "tp", "pp", "cp")
INNER_FIRST = ("tp", "ep", "cp", "pp", "dp")


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Sizes of the dimensions; their product is the number of GPUs."""

    dp: int = 1
    """Data: rows."""
    ep: int = 1
    """Experts, and rows: each rank brings its own."""
    tp: int = 1
    """Heads and hidden channels, with the positions between them split as well."""
    pp: int = 1
    """Layers."""
    cp: int = 1
    """Positions of a row."""

    @property
    def gpus(self) -> int:
        """GPUs in all."""
        return prod(asdict(self).values())

    def stride(self, dimension: str) -> int:
        """GPUs between neighbours along ``dimension``."""
        inner = INNER_FIRST[: INNER_FIRST.index(dimension)]
        return prod(getattr(self, name) for name in inner)

    def __str__(self) -> str:
        return ",".join(f"{name}={size}" for name, size in asdict(self).items() if size > 1) or "dp=1"


def parse_mesh(text: str, gpus: int) -> Mesh:
    """The mesh written as ``dp=2,ep=8``; what isn't named is 1.

    Raises:
        ValueError: an unknown dimension, a size that is no positive number, or a product other than ``gpus``.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.strip().partition("=")
        if name not in DIMENSIONS:
            raise ValueError(
                f"--mesh {text}: unknown dimension {name!r}, expected some of {', '.join(DIMENSIONS)}"
            )
        if name in sizes:
            raise ValueError(f"--mesh {text}: {name} is there twice; name each dimension once")
        if not size.isdecimal() or int(size) < 1:
            raise ValueError(f"--mesh {text}: {name} must be a whole number of at least 1, got {size!r}")
        sizes[name] = int(size)
    mesh = Mesh(**sizes)
    if mesh.gpus != gpus:
        rest = f"; say dp={gpus * mesh.dp // mesh.gpus}" if gpus * mesh.dp % mesh.gpus == 0 else ""
        raise ValueError(f"--mesh {text} multiplies to {mesh.gpus}, but --gpus is {gpus}{rest}")
    return mesh


def misfit(mesh: Mesh, config: ModelConfig, workload: Workload) -> str | None:
    """Why ``config`` can't be laid out on ``mesh``, naming key, value and what would do; ``None`` if it can."""
    moe = config.moe
    experts = moe.experts if config.layers > moe.dense_layers else 1
    divided = [
        ("ep", experts, "moe.experts" if experts > 1 else "moe.experts (all layers are dense)"),
        ("tp", gcd(config.heads, config.kv_heads), "heads and kv_heads"),
        ("pp", config.layers, "layers"),
    ]
    for name, value, key in divided:
        size = getattr(mesh, name)
        if value % size:
            return f"--mesh {name}={size} must divide {KEY}.{key} = {value}; use {name} of {_divisors(value)}"
    if workload.length % mesh.cp:
        return (
            f"--mesh cp={mesh.cp} must divide --length = {workload.length}; use cp of a power of two and a "
            f"length that it divides"
        )
    if config.heads % mesh.cp or (config.kv_heads % mesh.cp and mesh.cp % config.kv_heads):
        return (
            f"--mesh cp={mesh.cp} must divide {KEY}.heads = {config.heads}, and divide or be a multiple of "
            f"{KEY}.kv_heads = {config.kv_heads}: ranks swap positions for heads"
        )
    if mesh.tp > NODE:
        return f"--mesh tp={mesh.tp} must be at most the {NODE} GPUs of a server; use pp or ep for the rest"
    return None


def _divisors(value: int) -> str:
    return ", ".join(str(size) for size in range(1, min(value, 512) + 1) if value % size == 0)


def possible_meshes(gpus: int, config: ModelConfig, workload: Workload) -> Iterator[Mesh]:
    """Every mesh of ``gpus`` GPUs on which the config can be laid out."""
    sizes = [size for size in range(1, gpus + 1) if gpus % size == 0]
    for tp in (size for size in sizes if size <= NODE):
        for pp in sizes:
            for ep in sizes:
                for cp in sizes:
                    if gpus % (tp * pp * ep * cp):
                        continue
                    mesh = Mesh(dp=gpus // (tp * pp * ep * cp), ep=ep, tp=tp, pp=pp, cp=cp)
                    if misfit(mesh, config, workload) is None:
                        yield mesh
