#!/bin/sh
# tests/browser/docs.mjs against a server of its own. The browser is Debian's chromium; what is missing is installed.
#
#   sh tests/browser/run.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
sh tests/tools/install.sh node python browser || exit 1
# Access tokens end while the page is open.
export JWT_TTL_SECONDS=3
exec sh tests/tools/with-server.sh node tests/browser/docs.mjs
