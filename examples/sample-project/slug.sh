#!/bin/sh
# Prints its arguments as a slug: lower case, words joined by single dashes.
printf '%s' "$*" | tr '[:upper:]' '[:lower:]' | tr -c '[:alnum:]' '-' | tr -s '-'
echo
