#!/usr/bin/env bash
# full.sh [CHAPTER…]: what is stale at the full profile, on the GPUs of this machine that CUDA_VISIBLE_DEVICES lets it see.
# A failed chapter ends with exit code 1 after the others have finished; finished runs stay in the store.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make .venv/.installed
.venv/bin/kexue doctor
exec .venv/bin/kexue run "$@" --profile full
