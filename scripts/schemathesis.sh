#!/bin/sh
# Sends what the OpenAPI document allows, and what it does not, to a daemon on a folder of its own: no answer may be a 5xx,
# have a status or content type that is not declared, or a body that does not match. Needs `pip install schemathesis`.
#
#     scripts/schemathesis.sh [PROGRAM] [OPTION…]
#
# PROGRAM is the built daemon, target/debug/adjutant when it is not given; options go to schemathesis.
set -eu
program=${1:-target/debug/adjutant}
[ $# -eq 0 ] || shift
home=$(mktemp -d)
"$program" --home "$home" serve 2>"$home/log" &
daemon=$!
trap 'kill "$daemon" 2>/dev/null; wait "$daemon" || true; rm -rf "$home"' EXIT
while [ ! -s "$home/daemon.json" ]; do
    kill -0 "$daemon" || { cat "$home/log" >&2; exit 1; }
    sleep 0.1
done
address=$(sed -n 's/.*"address": *"\([^"]*\)".*/\1/p' "$home/daemon.json")
# The journal's feed has no end, so nothing can be said of its whole answer.
"${SCHEMATHESIS:-schemathesis}" run "$address/openapi.json" \
    --header "Authorization: Bearer $(cat "$home/token")" \
    --exclude-path /v1/events --request-timeout 20 \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
    "$@"
