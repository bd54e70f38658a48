"""One small corpus for all tests of the demo's data."""

from __future__ import annotations

import pytest

from omni.datamodules.demo.corpus import DemoCorpus


@pytest.fixture(scope="session")
def corpus() -> DemoCorpus:
    """A fiftieth of the corpus of seed 0, with all its voices."""
    return DemoCorpus.build(seed=0, scale=0.02)
