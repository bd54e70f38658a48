"""What ``benchmarks.inference`` compares with: ``generate`` of transformers' Mixtral, of the same shape."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.inference_work import Job, Took
from omni.nn.config import ModelConfig

PEERS = ("eager", "grouped_mm")
"""Its ways of running experts on a CPU."""


def mixtral(config: ModelConfig, vocabulary: int, experts: str) -> Any:
    """A Mixtral with our widths, layers, heads, experts and vocabulary, and random weights."""
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    shape = MixtralConfig(
        vocab_size=vocabulary,
        hidden_size=config.width,
        intermediate_size=config.moe.expert_width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        num_local_experts=config.moe.experts,
        num_experts_per_tok=config.moe.top_k,
        tie_word_embeddings=config.text.tied,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    shape._attn_implementation = "sdpa"
    model = MixtralForCausalLM(shape).eval()
    model.set_experts_implementation(experts)
    return model


def answer(model: Any, jobs: Sequence[Job], batch: int) -> Took:
    """Answer the jobs ``batch`` at a time, as they come: prompts padded on the left, to the longest answer."""
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(jobs), batch):
        part = jobs[start : start + batch]
        longest = max(len(job.prompt) for job in part)
        ids = torch.tensor([[0] * (longest - len(job.prompt)) + job.prompt for job in part])
        mask = torch.tensor([[0] * (longest - len(job.prompt)) + [1] * len(job.prompt) for job in part])
        count = max(job.tokens for job in part)
        with torch.inference_mode():
            made = model.generate(
                ids, attention_mask=mask, max_new_tokens=count, min_new_tokens=count, do_sample=False
            )
        assert made.shape[1] == longest + count, (made.shape, longest, count)
    return Took(time.perf_counter() - wall, time.process_time() - cpu)
