#!/bin/sh
# tests/browser/docs.mjs against a server of its own. The browser is Debian's chromium; what is missing is installed.
#
#   sh tests/browser/run.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
sh tests/tools/install.sh node browser || exit 1
exec sh tests/tools/with-server.sh node tests/browser/docs.mjs
