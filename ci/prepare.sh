#!/usr/bin/env bash
# What the tests need on a Debian or Ubuntu machine: a Chromium, a font with Chinese characters, git, make, openssl.
set -euo pipefail

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
wanted=(fonts-noto-cjk git make openssl)
command -v chromium || command -v chromium-browser || command -v google-chrome || wanted+=(chromium)
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
