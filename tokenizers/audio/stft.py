"""Short-time Fourier transform without hidden padding, and phase recovery by Griffin-Lim."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor


@dataclass(frozen=True)
class Stft:
    """A Fourier transform with one column per ``hop`` samples, centred on them.

    A waveform of ``n * hop`` samples has exactly ``n`` columns: the transform works on a waveform that was
    extended by ``n_fft - hop`` samples (``extend``), and ``trim`` takes them away again.
    """

    n_fft: int
    """Samples under the window."""
    hop: int
    """Samples from one column to the next."""

    @property
    def bins(self) -> int:
        """Frequencies of a column."""
        return self.n_fft // 2 + 1

    @cached_property
    def window(self) -> Float[Tensor, " n_fft"]:
        """Hann window, shifted by half a sample so that it is symmetric and nowhere zero."""
        return torch.sin(torch.pi * (torch.arange(self.n_fft) + 0.5) / self.n_fft) ** 2

    def extend(self, wave_W: Float[Tensor, " W"]) -> Float[Tensor, " V"]:
        """The waveform with silence before and after it, as ``forward`` takes it."""
        before = (self.n_fft - self.hop) // 2
        return torch.nn.functional.pad(wave_W, (before, self.n_fft - self.hop - before))

    def trim(self, wave_V: Float[Tensor, " V"]) -> Float[Tensor, " W"]:
        """The waveform without what ``extend`` added."""
        before = (self.n_fft - self.hop) // 2
        return wave_V[before : len(wave_V) - (self.n_fft - self.hop - before)]

    def forward(self, wave_V: Float[Tensor, " V"]) -> Complex[Tensor, "columns bins"]:
        """Spectrum of an extended waveform."""
        return torch.fft.rfft(wave_V.unfold(0, self.n_fft, self.hop) * self.window)

    def inverse(self, spectrum: Complex[Tensor, "columns bins"]) -> Float[Tensor, " V"]:
        """Extended waveform whose spectrum is nearest to ``spectrum`` (Griffin and Lim 1984, equation 6)."""
        return self._overlap_add(torch.fft.irfft(spectrum, n=self.n_fft) * self.window) / self.weight(
            len(spectrum)
        )

    def weight(self, columns: int) -> Float[Tensor, " V"]:
        """Sum of the squared windows over each sample of ``columns`` columns."""
        return self._overlap_add((self.window**2).expand(columns, -1)).clamp_min(1e-6)

    def _overlap_add(self, pieces: Float[Tensor, "columns n_fft"]) -> Float[Tensor, " V"]:
        columns, hops = len(pieces), -(-self.n_fft // self.hop)
        pieces = torch.nn.functional.pad(pieces, (0, hops * self.hop - self.n_fft))
        pieces = pieces.view(columns, hops, self.hop)
        total = pieces.new_zeros(columns + hops - 1, self.hop)
        for i in range(hops):
            total[i : i + columns] += pieces[:, i]
        return total.view(-1)[: (columns - 1) * self.hop + self.n_fft]


def griffin_lim(
    stft: Stft,
    magnitude: Float[Tensor, "columns bins"],
    iterations: int,
    momentum: float,
    past_W: Float[Tensor, " past"] | None = None,
) -> Float[Tensor, " W"]:
    """Waveform with these magnitudes, by fast Griffin-Lim (Perraudin, Balazs, Søndergaard 2013).

    The first phases are a fixed random table, so the same magnitudes always give the same sound. ``past_W``
    are samples, already played, that the result must begin with; the rest is fitted to join
    them without a break.
    """
    table = np.random.default_rng(0).uniform(0, 2 * np.pi, magnitude.shape)
    spectrum = torch.polar(magnitude, torch.from_numpy(table.astype(np.float32)))
    before = (stft.n_fft - stft.hop) // 2
    previous = torch.zeros_like(spectrum)
    for _ in range(iterations):
        wave_V = stft.inverse(spectrum)
        if past_W is not None:
            wave_V[before : before + len(past_W)] = past_W
        rebuilt = stft.forward(wave_V)
        ahead = rebuilt + momentum * (rebuilt - previous)
        spectrum = magnitude * ahead / ahead.abs().clamp_min(1e-9)
        previous = rebuilt
    return stft.trim(stft.inverse(spectrum))
