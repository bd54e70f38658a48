#!/usr/bin/env bash
# Pretrain a model of about 100M parameters (33M of them active per position) on one machine with 8 GPUs.
#
#   DATA=my_data RUN=runs/100m examples/pretrain_8gpu.sh
#   GPUS=2 examples/pretrain_8gpu.sh --trainer.max_steps 100        # any option of `omni fit` may follow
#
# Needs:    DATA/tokenizers and DATA/shards/{train,heldout}, indexed with --tokenizers. runs/demo has them (too little data for this size:
#           good for a trial); docs/data.md says how to make them of your own data.
# Time:     unmeasured. This was run with two processes on a CPU (gloo), never on 8 GPUs.
# Result:   RUN/checkpoints/last.ckpt and RUN/logs. The order of the documents is that of a single process with
#           the same GLOBAL_ROWS.
#
# A step has GLOBAL_ROWS rows of ROW_LENGTH positions, split evenly over processes and accumulated batches.
# Plain data parallelism: each GPU holds the whole model and its optimizer state.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA=${DATA:-runs/demo}
RUN=${RUN:-runs/100m}
GPUS=${GPUS:-8}
GLOBAL_ROWS=${GLOBAL_ROWS:-256}
BATCH_ROWS=${BATCH_ROWS:-4}
ROW_LENGTH=${ROW_LENGTH:-2048}
ACCUMULATE=$((GLOBAL_ROWS / (BATCH_ROWS * GPUS)))

PATH=.venv/bin:$PATH
torchrun --nproc-per-node "$GPUS" -m omni fit --config configs/experiment/demo.yaml \
    --data.tokenizers "$DATA/tokenizers" \
    --data.train "$DATA/shards/train" --data.val "$DATA/shards/heldout" \
    --data.plan.row_length "$ROW_LENGTH" --data.plan.global_rows "$GLOBAL_ROWS" \
    --data.batch_rows "$BATCH_ROWS" --data.val_rows "$GLOBAL_ROWS" \
    --data.cache false --data.workers 4 \
    --model.network.width 640 --model.network.layers 10 \
    --model.network.heads 10 --model.network.kv_heads 5 \
    --model.network.moe.expert_width 256 \
    --model.network.image.width 512 --model.network.audio.width 512 \
    --model.optim.lr 6.0e-4 --model.optim.warmup_steps 500 \
    --trainer.default_root_dir "$RUN" --trainer.max_steps 20000 \
    --trainer.accelerator gpu --trainer.devices "$GPUS" --trainer.strategy ddp \
    --trainer.precision bf16-mixed --trainer.accumulate_grad_batches "$ACCUMULATE" \
    --trainer.val_check_interval $((500 * ACCUMULATE)) \
    "$@"
