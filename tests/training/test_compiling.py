"""Compiled parts compute what they computed before; what can't be compiled is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from omni.training.compiling import CompileConfig, compile_parts
from tests.training.compiled_step import make_model

ROOT = Path(__file__).parents[2]

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_model_has_the_losses_and_gradients_of_the_eager_one(precision: str) -> None:
    """In a process of its own: the compiler can't trace functions whose annotations are checked at each call."""
    command = [sys.executable, "-m", "tests.training.compiled_step", precision]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    half = precision == "bf16"
    assert found["loss"] == pytest.approx(found["eager_loss"], rel=1e-3 if half else 1e-5)
    assert found["error"] < (2 * found["rounding"] if half else 1e-4), found


def test_without_a_compiler_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"model\.compile needs a C\+\+ compiler .* 'no-such-compiler'"):
        compile_parts(make_model(), CompileConfig(experts=True), CPU)


def test_nothing_is_compiled_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    model = make_model()
    before = model.blocks[0].attention.project  # type: ignore[union-attr]
    compile_parts(model, CompileConfig(), CPU)
    assert model.blocks[0].attention.project == before  # type: ignore[union-attr]
