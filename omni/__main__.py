"""``python -m omni``, for launchers such as ``torchrun -m omni fit``."""

import sys

from omni.cli.main import main

sys.exit(main())
