#!/usr/bin/env bash
# admit.sh COMMIT: lets a commit pass that lies on a branch of this repository, and no other.
# A fork's commits are in reach of a clone too (refs/pull/…), so that being able to fetch one says nothing.
# Run in a clone with all branches (actions/checkout with fetch-depth: 0). Writes commit=… for the steps that follow.
set -euo pipefail

commit=${1:?usage: admit.sh COMMIT}
if [[ ! $commit =~ ^[0-9a-f]{40}$ ]]; then
  echo "admit: a commit is 40 hexadecimal digits, got '$commit'" >&2
  exit 2
fi
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  echo "admit: $commit is on no branch of this repository" >&2
  exit 1
fi
branches=$(git for-each-ref --contains "$commit" --format='%(refname:lstrip=3)' refs/remotes/origin)
if [ -z "$branches" ]; then
  echo "admit: $commit is on no branch of this repository" >&2
  exit 1
fi
echo "admit: $commit is on ${branches//$'\n'/, }" >&2
echo "commit=$commit" >>"${GITHUB_OUTPUT:-/dev/stdout}"
