#!/bin/bash
# The same on any Ray cluster: the job runs on its head. Photos, model and output have to be under the
# same paths on all machines, and fftag installed on them.
set -euo pipefail

: "${RAY_API_SERVER_ADDRESS:?the head, such as http://10.0.0.1:8265}"
export RAY_API_SERVER_ADDRESS

exec ray job submit --submission-id "fftag-$(date +%Y%m%d-%H%M%S)" -- \
    fftag tag /data/photos --out /data/out/tags.parquet --model /data/models/best \
    --engine ray --address auto --json
