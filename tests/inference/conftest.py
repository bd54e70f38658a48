"""The tiny model that tests of the engine share."""

from __future__ import annotations

import pytest

from omni.model import OmniTransformer
from tests.tiny_model import tiny_model


@pytest.fixture(scope="module")
def model() -> OmniTransformer:
    """Not to be changed."""
    return tiny_model()
