#!/usr/bin/env bash
# one-job.sh ORGANISATION GROUP COMMAND…: a GPU runner for one job, on a machine or in a container that is thrown away after.
#
#   ci/runner/one-job.sh my-organisation gpu docker run --rm --gpus all --env JITCONFIG my-runner-image
#
# COMMAND starts the fresh machine; there, `./run.sh --jitconfig "$JITCONFIG"` of GitHub's runner takes one job and ends.
# Run this where no job runs, with `gh` logged in as someone who manages the organisation's runners: that login never gets
# near the jobs. JITCONFIG is good for one runner and one job.
set -euo pipefail

organisation=${1:?usage: one-job.sh ORGANISATION GROUP COMMAND…}
group=${2:?the name of the runner group}
shift 2
[ $# -gt 0 ] || { echo "one-job.sh: no command that starts the machine" >&2; exit 2; }

groups=$(gh api "orgs/$organisation/actions/runner-groups?per_page=100")
read -r number guarded < <(python3 -c '
import json, sys
for group in json.load(sys.stdin)["runner_groups"]:
    if group["name"] == sys.argv[1]:
        print(group["id"], group.get("restricted_to_workflows", False) and bool(group.get("selected_workflows")))
' "$group" <<<"$groups") || { echo "one-job.sh: no runner group called $group" >&2; exit 2; }
if [ "$guarded" != True ]; then
  echo "one-job.sh: the group $group takes jobs of any workflow, so of any fork's pull request too:" >&2
  echo "limit it to selected workflows first (ci/README.md)" >&2
  exit 1
fi
JITCONFIG=$(gh api --method POST "orgs/$organisation/actions/runners/generate-jitconfig" \
  --raw-field name="kexue-$(date +%s)-$$" --field runner_group_id="$number" --raw-field 'labels[]=gpu' --jq .encoded_jit_config)
export JITCONFIG
"$@"
