"""The tables that ``omni plan`` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from omni.planning.family import scaled

BILLION, GIB = 1e9, 2**30


def print_plan(figures: dict[str, Any], console: Console | None = None) -> None:
    """Print the figures of ``omni.planning.summary.summary``."""
    console = console or Console()
    for table in (_parts(figures), _memory(figures), _step(figures), _meshes(figures)):
        console.print(table)
    for line in _lines(figures):
        console.print(line, highlight=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column, name in enumerate(columns):
        table.add_column(name, justify="right" if column else "left")
    return table


def _parts(figures: dict[str, Any]) -> Table:
    parameters, flops = figures["parameters"], figures["flops_per_token"]
    table = _table(figures["config"], "part", "parameters", "forward FLOPs a token")
    names = list(dict.fromkeys([*parameters["parts"], *flops["parts"]]))
    for name in names:
        count, work = parameters["parts"].get(name, 0), flops["parts"].get(name, 0.0)
        if count or work:
            table.add_row(name, scaled(count) if count else "", scaled(work) if work else "")
    table.add_section()
    table.add_row("total", scaled(parameters["total"]), scaled(flops["forward"]))
    table.add_row("active", scaled(parameters["active"]), "")
    table.add_row("training", "", scaled(flops["training"]))
    return table


def _memory(figures: dict[str, Any]) -> Table:
    memory = figures["memory_per_gpu"]
    table = _table(f"Memory of one {figures['gpu']['name']}", "part", "GiB")
    for name, value in memory.items():
        if name == "total":
            table.add_section()
        table.add_row(name, f"{value / GIB:.2f}")
    return table


def _step(figures: dict[str, Any]) -> Table:
    step, traffic = figures["step"], figures["communication_per_step"]
    sizes = ", ".join(f"{name}={size}" for name, size in figures["mesh"].items())
    table = _table(f"One step on {sizes}", "part", "seconds", "share", "GB sent by a GPU")
    for name, seconds in step["parts"].items():
        sent = traffic["bytes"].get(name, 0.0)
        if seconds or sent:
            share = f"{seconds / step['seconds']:.1%}"
            table.add_row(name, f"{seconds:.3g}", share, f"{sent / BILLION:.3g}" if sent else "")
    table.add_section()
    table.add_row(
        "step", f"{step['seconds']:.3g}", "100.0%", f"{sum(traffic['bytes'].values()) / BILLION:.3g}"
    )
    return table


def _meshes(figures: dict[str, Any]) -> Table:
    fitting, possible = figures["fitting_meshes"], figures["possible_meshes"]
    title = f"Meshes of {figures['gpus']} GPUs: {fitting} of {possible} fit"
    table = _table(title, "mesh", "GiB", "fits", "tokens/s a GPU", "MFU")
    for row in figures["meshes"]:
        sizes = ",".join(f"{name}={size}" for name, size in row["mesh"].items() if size > 1) or "dp=1"
        rate, mfu = f"{row['tokens_per_second_per_gpu']:,.0f}", f"{row['mfu']:.1%}"
        table.add_row(sizes, f"{row['memory'] / GIB:.1f}", "yes" if row["fits"] else "no", rate, mfu)
    return table


def _lines(figures: dict[str, Any]) -> list[str]:
    step, budget, memory = figures["step"], figures["budget"], figures["memory_per_gpu"]
    lines = [
        f"{step['positions']:,} tokens a step, {step['tokens_per_second_per_gpu']:,.0f} tokens/s a GPU, "
        f"MFU {step['mfu']:.1%} (estimated)."
    ]
    if not figures["fits"]:
        lines.append(
            f"Does not fit: {memory['total'] / GIB:.1f} GiB of {memory['usable'] / GIB:.1f} usable. "
            + (
                "Use more GPUs or fewer --rows."
                if figures["checkpointing"] == "block"
                else "Try --checkpointing block."
            )
        )
    if budget is not None:
        loss = budget["loss"]
        low, high = loss["as_dense_total"], loss["as_dense_active"]
        shown = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
        lines += [
            f"{scaled(budget['tokens'])} tokens: {budget['steps']:,.0f} steps, {budget['days']:,.1f} days, "
            f"{budget['gpu_hours']:,.0f} GPU-hours, {budget['flops']:.2e} FLOPs.",
            f"Expected text loss {shown} nats a token by {loss['law']}; {loss['caveat']}",
        ]
    return lines
