#!/usr/bin/env bash
# What the browser tests need on a hosted Debian or Ubuntu machine: a Chromium and a font with Chinese characters.
set -euo pipefail

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
wanted=(fonts-noto-cjk)
command -v chromium || command -v chromium-browser || command -v google-chrome || wanted+=(chromium)
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
