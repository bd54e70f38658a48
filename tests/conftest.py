"""What every test runs under: checked shapes and types, a fixed number of threads, the same random start."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

# Each function of ``omni`` checks its annotations at every call. Only what is imported after this line does.
install_import_hook(["omni"], "beartype.beartype")

THREADS = 1  # the same on every machine: sums depend on it; and tiny tensors only wait for more

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def same_start() -> Iterator[None]:
    """Give each test the same threads and seed, whatever the test before it left."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
    if torch.are_deterministic_algorithms_enabled():  # setting it costs a second of imports
        torch.use_deterministic_algorithms(False)
