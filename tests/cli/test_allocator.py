"""What is freed stays with the process, so that the next step needs no new pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource, sys
from omni.cli.allocator import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else "left")
def work(): return [bytearray(20_000_000), bytearray(50_000_000)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_blocks_are_used_again_without_page_faults() -> None:
    def run(how: str) -> tuple[str, int]:
        done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
        said, faults = done.stdout.split()
        return said, int(faults)

    said, kept = run("keep")
    if said == "False":
        pytest.skip("another allocator")
    assert kept < 0.1 * run("leave")[1]
