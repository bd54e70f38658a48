"""Loss curves and the pictures for the documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from omni.cli.demo.report.losses import Curve, read_losses
from omni.cli.demo.report.plots import loss_figure
from omni.cli.demo.report.samples import samples_figure
from tests.cli.made_up_results import made_up_results, write_losses


def test_losses_are_read_from_the_rows_that_have_them(tmp_path: Path) -> None:
    curves = read_losses(write_losses(tmp_path / "metrics.csv"))
    assert list(curves) == [
        (stage, name) for stage in ("train", "val") for name in ("text", "image", "audio")
    ]
    np.testing.assert_array_equal(curves["train", "text"].steps, np.arange(9, 100, 10))
    np.testing.assert_allclose(curves["train", "image"].values, 20 / np.arange(10, 101, 10))
    np.testing.assert_array_equal(curves["val", "audio"].steps, [49, 99])


def test_no_losses(tmp_path: Path) -> None:
    missing = tmp_path / "none.csv"
    with pytest.raises(ValueError, match=r"none\.csv: no loss curves here"):
        read_losses(missing)
    missing.write_text("epoch,step\n0,1\n")
    with pytest.raises(ValueError, match=r"expected columns such as 'train/text', got \['epoch', 'step'\]"):
        read_losses(missing)


def test_smoothing_keeps_level_and_evens_out_noise() -> None:
    steps = np.arange(400)
    np.testing.assert_allclose(Curve(steps, np.full(400, 3.0)).smoothed(), 3.0)
    noise = np.random.default_rng(0).normal(0, 1, 400)
    assert Curve(steps, noise).smoothed().std() < 0.4


def test_loss_figure_of_several_runs(tmp_path: Path) -> None:
    paths = {f"seed {seed}": write_losses(tmp_path / f"{seed}.csv") for seed in range(3)}
    loss_figure(paths, tmp_path / "images" / "losses.png")
    with PILImage.open(tmp_path / "images" / "losses.png") as drawn:
        assert drawn.size == (1920, 544)
    with pytest.raises(ValueError, match="0 runs to plot, expected 1 to 4"):
        loss_figure({}, tmp_path / "losses.png")


def test_samples_figure(tmp_path: Path) -> None:
    results = made_up_results(tmp_path)
    samples_figure(results, tmp_path / "samples.png")
    with PILImage.open(tmp_path / "samples.png") as drawn:
        assert drawn.size == (1920, 1056)
        colours = drawn.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert (0xC0, 0x26, 0x2D) in {colour for _, colour in colours}, "the wrong answer is outlined"
    with pytest.raises(ValueError, match="0 generated and 0 held-out clips of 'nine', expected one of each"):
        samples_figure(results, tmp_path / "samples.png", word="nine")
