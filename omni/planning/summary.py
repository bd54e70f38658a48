"""A plan as plain numbers, for JSON."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import asdict
from typing import Any

from omni.planning.estimate import USABLE, Budget, Layout, Task

LISTED = 10
"""Meshes in the table of those that fit."""


def summary(task: Task, chosen: Layout, layouts: Seq[Layout], budget: Budget | None) -> dict[str, Any]:
    """Everything that ``omni plan`` knows: bytes, seconds, FLOPs and numbers, with no unit changed."""
    parameters, flops = task.parameters, task.flops
    return {
        "gpu": asdict(task.gpu),
        "gpus": chosen.mesh.gpus,
        "vocabulary": asdict(task.vocabulary),
        "workload": asdict(task.workload),
        "checkpointing": task.checkpointing,
        "precision": task.precision,
        "sharding": task.sharding,
        "parameters": {"total": parameters.total, "active": parameters.active, "parts": parameters.parts},
        "flops_per_token": {
            "forward": flops.forward,
            "training": flops.training,
            "hardware": flops.hardware(task.checkpointing),
            "parts": flops.parts,
        },
        **layout_summary(task, chosen),
        "fitting_meshes": sum(layout.fits for layout in layouts),
        "possible_meshes": len(layouts),
        "meshes": [
            {
                "mesh": asdict(layout.mesh),
                "fits": layout.fits,
                "memory": layout.memory.total,
                "tokens_per_second_per_gpu": layout.step.tokens_per_second_per_gpu,
                "mfu": layout.step.mfu,
            }
            for layout in layouts[:LISTED]
        ],
        "budget": asdict(budget) if budget else None,
    }


def layout_summary(task: Task, layout: Layout) -> dict[str, Any]:
    """One layout: its mesh, memory, communication and step."""
    return {
        "mesh": asdict(layout.mesh),
        "fits": layout.fits,
        "memory_per_gpu": {
            **asdict(layout.memory),
            "total": layout.memory.total,
            "usable": USABLE * task.gpu.memory,
        },
        "communication_per_step": asdict(layout.traffic),
        "step": asdict(layout.step),
    }
