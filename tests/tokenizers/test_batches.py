"""Clips encoded many at a time have the codes that they have alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni.media import MediaError
from omni.tokenizers.audio.batches import BatchEncoder, best_device
from omni.tokenizers.audio.neural import NeuralCodec
from omni.tokenizers.audio.neural_network import NeuralConfig, neural_decoder, neural_encoder
from tests.tiny import tiny_tokenizers, tone


@pytest.fixture
def codec() -> NeuralCodec:
    config = NeuralConfig()
    encoder, decoder = neural_encoder(config), neural_decoder(config)
    channels = encoder(torch.zeros(1, 1, config.samples_per_frame * 4)).shape[1]
    return NeuralCodec(
        config, encoder, decoder, torch.randn(config.codebooks, config.codebook_size, channels)
    )


def test_batches_give_the_codes_of_single_clips(codec: NeuralCodec) -> None:
    clips = [tone(digit, seconds) for digit, seconds in enumerate((0.1, 0.2, 0.1, 0.33, 0.1001, 0.1))]
    found = BatchEncoder(codec, "cpu", batch=2).encode_in_batches(clips)
    for clip, codes_FK in zip(clips, found, strict=True):
        expected = codec.encode(clip)
        assert codes_FK.shape == expected.shape and codes_FK.dtype == expected.dtype
        assert (codes_FK == expected).mean() > 0.99  # sums of a batch may be rounded in another order


def test_on_a_cpu_they_are_the_same_bit_for_bit(codec: NeuralCodec) -> None:
    clips = [tone(3, 0.1), tone(4, 0.2)]
    found = BatchEncoder(codec, "cpu", batch=8).encode(clips)
    assert [codes.tolist() for codes in found] == [codec.encode(clip).tolist() for clip in clips]


def test_bad_clips_are_refused(codec: NeuralCodec) -> None:
    with pytest.raises(MediaError, match="zero-length audio"):
        BatchEncoder(codec, "cpu", 1).encode_in_batches([np.zeros(0, np.float32)])


def test_the_best_device_is_one_that_the_codec_can_use() -> None:
    assert best_device(tiny_tokenizers().audio) == "cpu"


@pytest.mark.cuda
def test_a_gpu_gives_nearly_the_same_codes(codec: NeuralCodec) -> None:
    clips = [tone(digit, 0.2) for digit in range(8)]
    expected = [codec.encode(clip) for clip in clips]
    assert best_device(codec) == "cuda"
    found = BatchEncoder(codec, "cuda", 4).encode(clips)
    assert np.mean([(one == two).mean() for one, two in zip(found, expected, strict=True)]) > 0.99
