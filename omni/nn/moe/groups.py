"""Groups of experts: which modalities may use which experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from omni.modality import MODALITIES
from omni.nn.checks import at_least, require

RoutingMode = Literal["agnostic", "grouped", "hybrid"]


@dataclass(frozen=True, kw_only=True)
class GroupSizes:
    """How many experts each group has; they are numbered in this order. All 0 where there are no groups."""

    shared: int = 0
    """Experts open to every modality."""
    text: int = 0
    """Experts for text and control symbols only."""
    image: int = 0
    """Experts for patches only."""
    audio: int = 0
    """Experts for frames only."""

    def of_modalities(self) -> tuple[int, ...]:
        """Sizes of the modalities' own groups, in the order of the table of modalities."""
        return tuple(getattr(self, modality.name) for modality in MODALITIES)

    @property
    def total(self) -> int:
        """Experts of all groups."""
        return self.shared + sum(self.of_modalities())


@dataclass(frozen=True)
class Group:
    """Neighbouring experts that are open to the same modalities."""

    size: int
    modalities: tuple[int, ...]
    """Ids of the modalities that may use it."""


def groups_of(sizes: GroupSizes, experts: int) -> tuple[Group, ...]:
    """The groups in the order of their experts; one of all ``experts`` where ``sizes`` names none."""
    everyone = tuple(modality.id for modality in MODALITIES)
    if not sizes.total:
        return (Group(experts, everyone),)
    own = (
        Group(size, (modality.id,)) for modality, size in zip(MODALITIES, sizes.of_modalities(), strict=True)
    )
    return tuple(group for group in (Group(sizes.shared, everyone), *own) if group.size)


def open_counts(groups: tuple[Group, ...]) -> list[int]:
    """Number of experts open to each modality."""
    return [sum(g.size for g in groups if modality.id in g.modalities) for modality in MODALITIES]


def open_table(groups: tuple[Group, ...]) -> Bool[Tensor, "kinds E"]:
    """Whether a position of each kind may use each expert; a row per modality, and one for padding: all."""
    rows = [[m.id in group.modalities for group in groups for _ in range(group.size)] for m in MODALITIES]
    return torch.tensor([*rows, [True] * len(rows[0])])


def kind_of(modality_N: UInt8[Tensor, " N"]) -> Int[Tensor, " N"]:
    """Row of ``open_table`` of each position: its modality, or the last one for padding."""
    return modality_N.long().clamp(max=len(MODALITIES))


def check_groups(mode: RoutingMode, sizes: GroupSizes, experts: int, top_k: int, part: str) -> None:
    """
    Args:
        mode: which groups there are to be.
        sizes: those of the groups.
        experts: number of all.
        top_k: experts per position.
        part: where these settings stand in a run's config, with a dot at the end.

    Raises:
        ValueError: sizes that don't go with the others; the message names the keys and the constraint.
    """
    at_least(sizes, f"{part}groups.", shared=0, **{modality.name: 0 for modality in MODALITIES})
    names = ("shared", *(modality.name for modality in MODALITIES))
    told = " + ".join(f"{name} {getattr(sizes, name)}" for name in names)
    if mode == "agnostic":
        require(
            not sizes.total,
            f"{part}groups must be left out with {part}routing agnostic, which knows no groups, got {told}; "
            f"say {part}routing grouped or hybrid",
        )
        return
    require(
        sizes.total == experts,
        f"{part}groups must add up to {part}experts = {experts}, got {told} = {sizes.total}",
    )
    if mode == "grouped":
        require(
            not sizes.shared,
            f"{part}groups.shared must be 0 with {part}routing grouped, got {sizes.shared}; "
            f"say {part}routing hybrid for experts that are open to all",
        )
    else:
        require(
            0 < sizes.shared < experts,
            f"{part}groups.shared must be in 1..{experts - 1} with {part}routing hybrid, which has experts "
            f"open to all and experts of modalities, got {sizes.shared}",
        )
    for modality, own in zip(MODALITIES, sizes.of_modalities(), strict=True):
        require(
            top_k <= sizes.shared + own,
            f"{part}top_k must be at most the experts open to {modality.name}, {part}groups.shared + "
            f"{part}groups.{modality.name} = {sizes.shared} + {own}, got {top_k}",
        )
