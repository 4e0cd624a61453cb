#!/bin/bash
# An array of shards on SLURM, and the job that joins them:
#
#   shards=$(sbatch --parsable examples/jobs/slurm.sh)
#   sbatch --dependency=afterok:$shards --array=0 --export=ALL,MERGE=1 examples/jobs/slurm.sh
#
# A shard that was cancelled or preempted goes on where it stopped: SIGTERM finishes the batch in hand.
#SBATCH --job-name=fftag
#SBATCH --array=0-15
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=1
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail

SHARDS=${SHARDS:-16} # as many as the array has
PHOTOS=${PHOTOS:-/data/photos}
MODEL=${MODEL:-/data/models/best}
OUT=${OUT:-/data/out}

if [[ -n ${MERGE:-} ]]; then
    parts=()
    for ((number = 1; number <= SHARDS; number++)); do
        parts+=("$OUT/shard-$number.parquet")
    done
    exec fftag merge "${parts[@]}" --out "$OUT/tags.parquet" --source "$PHOTOS" --json
fi

number=$((SLURM_ARRAY_TASK_ID + 1))
exec fftag tag "$PHOTOS" --shard "$number/$SHARDS" --out "$OUT/shard-$number.parquet" \
    --model "$MODEL" --workers "${SLURM_CPUS_PER_TASK:-16}" --json
