#!/bin/sh
# Runs a command against a server of its own: a free port, a private PostgreSQL in a temporary folder, a user and an admin.
#
#   sh tests/tools/with-server.sh COMMAND…
#
# The command finds BASE_URL, USER_EMAIL, ADMIN_EMAIL, PASSWORD, USER_TOKEN and ADMIN_TOKEN in its environment. BINARY names
# the program (default: the debug build, which is made if need be). The exit code is the command's; if the server did not end
# cleanly, or logged an error, 1.
set -u
cd "$(dirname "$0")/../.." || exit 1

fail() {
    echo "with-server.sh: $*" >&2
    exit 1
}

if [ -z "${BINARY:-}" ]; then
    cargo build --quiet </dev/null || fail "the build failed"
    BINARY=${CARGO_TARGET_DIR:-target}/debug/healthcare-backend
fi

folder=$(mktemp -d /tmp/healthcare-server.XXXXXX) || exit 1
# PostgreSQL's user, who is not root, has to pass through it.
chmod 755 "$folder"
server=
trap 'stop; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

stop() {
    [ -n "$server" ] || return 0
    kill -TERM "$server" 2>/dev/null
    wait "$server"
    result=$?
    server=
    return $result
}

: "${PASSWORD:=correct horse battery}"
export PASSWORD USER_EMAIL=ann@example.org ADMIN_EMAIL=admin@example.org
unset DATABASE_URL JWT_SECRET
export HOST=127.0.0.1 PORT=0 DATA_DIR="$folder/data" BCRYPT_COST=4 ALLOW_WEAK_HASHING=1 AUTH_RATE_PER_MINUTE=0 CHANGES_PER_MINUTE=0
# A mail program that takes every message.
export SENDMAIL=true MAIL_FROM=clinic@example.org RESET_URL='https://clinic.example/reset?token='
mkfifo "$folder/lines" || exit 1
"$BINARY" >"$folder/lines" 2>"$folder/log" &
server=$!
# The first line says where it listens; without one, the server is gone.
read -r line <"$folder/lines" || fail "the server did not start: $(tail -n 3 "$folder/log")"
export BASE_URL="${line#listening on }"

post() {
    curl --silent --show-error --max-time 20 -H 'Content-Type: application/json' -d "$2" "$BASE_URL$1"
}
log_in() {
    post /api/auth/login "{\"email\":\"$1\",\"password\":\"$PASSWORD\"}" | sed -n 's/.*"token":"\([^"]*\)".*/\1/p'
}
for email in "$USER_EMAIL" "$ADMIN_EMAIL"; do
    post /api/auth/register "{\"name\":\"${email%%@*}\",\"email\":\"$email\",\"password\":\"$PASSWORD\"}" >/dev/null
done
"$BINARY" set-role --email "$ADMIN_EMAIL" --role admin >/dev/null 2>"$folder/set-role" || fail "$(cat "$folder/set-role")"
USER_TOKEN=$(log_in "$USER_EMAIL")
ADMIN_TOKEN=$(log_in "$ADMIN_EMAIL")
export USER_TOKEN ADMIN_TOKEN
[ -n "$USER_TOKEN" ] && [ -n "$ADMIN_TOKEN" ] || fail "nobody could log in: $(tail -n 3 "$folder/log")"

"$@"
result=$?
if ! stop; then
    echo "with-server.sh: the server did not end cleanly: $(tail -n 3 "$folder/log")" >&2
    result=1
fi
if grep -E '(^| )ERROR ' "$folder/log" >&2; then
    echo "with-server.sh: the server logged these errors" >&2
    result=1
fi
exit $result
