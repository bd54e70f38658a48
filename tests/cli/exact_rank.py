"""Runs of ``omni fit`` one after another in one process of each rank; their arguments are lines of JSON.

``python -m torch.distributed.run --nproc-per-node N -m tests.cli.exact_rank FILE``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from omni.cli.lightning_cli import OmniCLI


def main(file: Path) -> None:
    for line in file.read_text().splitlines():
        OmniCLI.from_arguments(["fit", *json.loads(line)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
