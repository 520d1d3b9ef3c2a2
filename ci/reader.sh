#!/usr/bin/env bash
# reader.sh CHAPTER: what a reader on Colab does. A plain `pip install` of the package from the repository's commit (no lock file,
# no editable install, no clone to stand in), then the chapter's notebook alone in an empty folder, "run all" as it is.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
chapter=${1:?usage: reader.sh CHAPTER}
sources=("$root"/book/*/"$chapter.md")
[ -f "${sources[0]}" ] || { echo "reader: no chapter called $chapter" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet --disable-pip-version-check "git+file://$root"
mkdir "$work/alone"
"$work/env/bin/jupytext" --quiet --to ipynb --output "$work/alone/$chapter.ipynb" "${sources[0]}"
cp "$root/ci/reader_check.py" "$work/reader_check.py"

cd "$work/alone"
# Nothing of this machine's Python comes along: IPython, for one, adds the packages of a VIRTUAL_ENV that it finds.
alone=(env -i PATH="$work/env/bin:/usr/bin:/bin" HOME="$work" LANG=C.UTF-8)
"${alone[@]}" jupyter execute --inplace "$chapter.ipynb"
"${alone[@]}" python "$work/reader_check.py" "$chapter.ipynb" "$work/env"
