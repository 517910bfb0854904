#!/bin/sh
# Runs the protocol's own conformance suites, both lines, against the MCP door of a daemon with a folder of its own.
# The suites send no token, so the daemon runs with `--no-auth`. Needs node and npx. Fails when a scenario fails that is not
# expected to, or passes although it is expected to fail: see crates/server/tests/mcp-conformance.
set -eu
cd "$(dirname "$0")/.."
program=${ADJUTANT:-target/debug/adjutant}
expected=$PWD/crates/server/tests/mcp-conformance
home=$(mktemp -d)
"$program" --home "$home" serve --no-auth >"$home/log" 2>&1 &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; rm -rf "$home"' EXIT
tries=0
until [ -f "$home/daemon.json" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat "$home/log" >&2; exit 1; }
    sleep 0.1
done
address=$(sed -n 's/.*"address": "\([^"]*\)".*/\1/p' "$home/daemon.json")
failed=0
for version in 0.1.16 0.2.0-alpha.12; do
    line=$(echo "$version" | cut -d. -f1,2)
    npx --yes "@modelcontextprotocol/conformance@$version" server --url "$address/mcp" --suite all \
        --expected-failures "$expected/expected-failures.$line.yaml" || failed=1
done
exit "$failed"
