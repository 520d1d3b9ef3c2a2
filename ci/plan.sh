#!/usr/bin/env bash
# plan.sh PROFILE: is anything stale at that profile? Nothing is run, so that a GPU machine is asked for only with work to do.
# Writes stale=true|false for the steps that follow, and what is stale and why for the reader of the job.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${1:?usage: plan.sh PROFILE}
make .venv/.installed
status=0
reasons=$(.venv/bin/kexue why --profile "$profile" --json) || status=$?
[ "$status" -le 1 ] || exit "$status" # 1: a chapter cannot be read, which the others need not wait for
.venv/bin/python ci/plan.py <<<"$reasons"
