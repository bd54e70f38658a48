"""The image head: per-patch flow matching (MAR, arXiv 2406.11838; rectified flow, arXiv 2209.03003).

Given the hidden state before a patch, a small MLP predicts the velocity that carries noise to the patch:
``x_t = (1 - t) * noise + t * patch`` and the target is ``patch - noise``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.heads.modulated import ModulatedBlock
from omni.nn.precision import at_least_fp32

TIME_FEATURES = 64


class ImageHead(nn.Module):
    """Velocity of patches under the flow, told the hidden state and the row and column of the patch."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        width = config.image.width
        self.draws = config.image.draws
        self.patch_values = vocabulary.patch_values
        self.hidden = nn.Linear(config.width, width)
        self.row = nn.Embedding(vocabulary.max_grid, width)
        self.col = nn.Embedding(vocabulary.max_grid, width)
        self.time = nn.Linear(TIME_FEATURES, width)
        self.noisy = nn.Linear(vocabulary.patch_values, width)
        self.blocks = nn.ModuleList(ModulatedBlock(width) for _ in range(config.image.depth))
        self.velocity = nn.Linear(width, vocabulary.patch_values)

    def condition(
        self, hidden_ID: Float[Tensor, "I D"], place_I2: Int[Tensor, "I 2"]
    ) -> Float[Tensor, "I H"]:
        """What does not change along the flow: hidden state, row and column."""
        return self.hidden(hidden_ID) + self.row(place_I2[:, 0]) + self.col(place_I2[:, 1])

    def forward(
        self,
        noisy: Float[Tensor, "*draws I P"],
        time: Float[Tensor, "*draws I"],
        condition_IH: Float[Tensor, "I H"],
    ) -> Float[Tensor, "*draws I P"]:
        """Velocity at ``time`` in [0, 1]."""
        condition = condition_IH + self.time(time_features(time))
        x = self.noisy(noisy) + condition
        for block in self.blocks:
            x = block(x, condition)
        return self.velocity(F.layer_norm(x, x.shape[-1:]))

    def loss(
        self,
        hidden_ID: Float[Tensor, "I D"],
        place_I2: Int[Tensor, "I 2"],
        patches_IP: Float[Tensor, "I P"],
        noise_IP: Float[Tensor, "draws I P"],
        time_I: Float[Tensor, "draws I"],
    ) -> Float[Tensor, ""]:
        """Squared velocity error, mean over values and draws, summed over patches."""
        return self.errors(hidden_ID, place_I2, patches_IP, noise_IP, time_I).sum()

    def errors(
        self,
        hidden_ID: Float[Tensor, "I D"],
        place_I2: Int[Tensor, "I 2"],
        patches_IP: Float[Tensor, "I P"],
        noise_IP: Float[Tensor, "draws I P"],
        time_I: Float[Tensor, "draws I"],
    ) -> Float[Tensor, " I"]:
        """Squared velocity error of each patch, mean over values and draws."""
        time = time_I.unsqueeze(-1)
        noisy = (1 - time) * noise_IP + time * patches_IP
        error = self(noisy, time_I, self.condition(hidden_ID, place_I2)) - (patches_IP - noise_IP)
        return at_least_fp32(error).square().mean((0, 2))

    @torch.no_grad()
    def sample(
        self,
        hidden_ID: Float[Tensor, "I D"],
        place_I2: Int[Tensor, "I 2"],
        noise_IP: Float[Tensor, "I P"],
        steps: int,
        guidance: float = 1.0,
        free_ID: Float[Tensor, "I D"] | None = None,
    ) -> Float[Tensor, "I P"]:
        """Carry noise to patches by Euler steps.

        ``free_ID`` is the hidden state without the prompt: with it the velocity is extrapolated by
        ``guidance`` (classifier-free guidance, arXiv 2207.12598; 1 is none).
        """
        hidden = hidden_ID if free_ID is None else torch.cat([hidden_ID, free_ID])
        condition = self.condition(hidden, place_I2.repeat(len(hidden) // len(hidden_ID), 1))
        x_IP = noise_IP
        for step in range(steps):
            both = x_IP if free_ID is None else torch.cat([x_IP, x_IP])
            velocity = self(both, x_IP.new_full((len(both),), step / steps), condition)
            if free_ID is not None:
                guided, free = velocity.chunk(2)
                velocity = free + guidance * (guided - free)
            x_IP = x_IP + velocity / steps
        return x_IP


def time_features(time: Float[Tensor, "*any"]) -> Float[Tensor, "*any features"]:
    """Sines and cosines of the flow time at geometric frequencies."""
    half = TIME_FEATURES // 2
    frequency = torch.exp(torch.arange(half, device=time.device) * (-math.log(1000.0) / half)) * 1000.0
    angle = time.unsqueeze(-1) * frequency.to(time.dtype)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
