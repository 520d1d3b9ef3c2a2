#!/usr/bin/env bash
# full.sh [CHAPTER…]: what is stale at the full profile, on the GPUs of this machine that CUDA_VISIBLE_DEVICES lets it see.
# Exit code 1, after all has finished, if a chapter failed, does not fit on this machine, or is judged otherwise than on record;
# finished runs stay in the store.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make .venv/.installed
.venv/bin/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("full: torch sees no GPU on this machine")'
.venv/bin/kexue doctor
exec .venv/bin/kexue run "$@" --profile full --strict
