#!/usr/bin/env bash
# Go on with a run that was interrupted, from its last checkpoint.
#
#   examples/resume.sh                                   # the demo's pretraining
#   RUN=runs/mine examples/resume.sh                     # any run of `omni fit`
#
# Needs:    RUN/checkpoints/last.ckpt, which is written every `checkpoint.every_n_train_steps` (1000) steps and
#           at the end, and RUN/logs/version_*/config.yaml, which `omni fit` writes at the start.
# Time:     what was left of the run.
# Result:   on one process the same weights, bit for bit, as if nothing had happened: order, noise, optimizer
#           and schedule go on where they were. Losses of the second part are in a new RUN/logs/version_*.
#
# A run of examples/pretrain_8gpu.sh is resumed by that script: examples/pretrain_8gpu.sh --ckpt_path last
#
# Keep `trainer.max_steps`: the learning rate is a function of it.
set -euo pipefail
cd "$(dirname "$0")/.."

RUN=${RUN:-runs/demo}
if [ ! -e "$RUN/checkpoints/last.ckpt" ]; then
    echo "$RUN/checkpoints/last.ckpt: no checkpoint to go on from" >&2
    exit 2
fi
config=$(find "$RUN/logs" -name config.yaml | sort --version-sort | tail -n 1)
.venv/bin/omni fit --config "$config" --ckpt_path last "$@"
