#!/bin/sh
# Runs every case and ends with 1 when one fails.
cd "$(dirname "$0")/.." || exit 1
failed=0
check() {
    got=$(sh slug.sh "$1")
    if [ "$got" = "$2" ]; then
        echo "ok    '$1' -> '$got'"
    else
        echo "FAIL  '$1' -> '$got', expected '$2'"
        failed=$((failed + 1))
    fi
}
check 'Hello World' 'hello-world'
check 'one' 'one'
check 'a  --  b' 'a-b'
check 'What is new?' 'what-is-new'
check '  padded  ' 'padded'
echo "$failed failed"
[ "$failed" -eq 0 ]
