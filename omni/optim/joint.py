"""Muon and AdamW as one optimizer: training loops, schedules and checkpoints deal with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from omni.optim.muon import Muon


class MuonAdamW(torch.optim.Optimizer):
    """Steps both. It has the groups of both, Muon's first, and shares their state."""

    def __init__(self, muon: Muon, adamw: torch.optim.AdamW) -> None:
        """Join the two; use them through this one only from then on."""
        self.muon, self.adamw = muon, adamw
        super().__init__([*muon.param_groups, *adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Give both the state and their groups, as they stand here."""
        first = len(self.muon.param_groups)
        self.muon.__setstate__({"state": self.state, "param_groups": self.param_groups[:first]})
        self.adamw.__setstate__({"state": self.state, "param_groups": self.param_groups[first:]})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "muon": self.muon, "adamw": self.adamw}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step of both; the result is that of ``closure``, which is called first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.muon.step()
        self.adamw.step()
        return loss
