#!/bin/sh
# Installs what is missing of git, tmux and a C++ compiler (Luau and SQLite are built from source), or says exactly
# what to install. It says what it does before it does it.
set -u

missing=""
for program in git tmux c++; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -z "$missing" ] && exit 0

packages() { # the names of the missing programs' packages: $1 is that of the compiler
    for program in $missing; do
        case $program in c++) printf ' %s' "$1" ;; *) printf ' %s' "$program" ;; esac
    done
}

if command -v apt-get >/dev/null 2>&1; then install="apt-get install -y$(packages g++)"; before="apt-get update"
elif command -v dnf >/dev/null 2>&1; then install="dnf install -y$(packages gcc-c++)"; before=true
elif command -v pacman >/dev/null 2>&1; then install="pacman -S --noconfirm$(packages gcc)"; before=true
elif command -v apk >/dev/null 2>&1; then install="apk add$(packages g++)"; before=true
elif command -v brew >/dev/null 2>&1; then install="brew install$(packages gcc)"; before=true
else
    echo "missing:$missing. Install them with your system's package manager and try again." >&2
    exit 1
fi

sudo=""
if [ "$(id -u)" -ne 0 ] && [ "${install%% *}" != brew ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo=sudo; else
        echo "missing:$missing. Install them and try again: sudo $install" >&2
        exit 1
    fi
fi
echo "missing:$missing. Installing: $sudo $install"
# shellcheck disable=SC2086 # the words of the commands are meant to split
$sudo $before >/dev/null && DEBIAN_FRONTEND=noninteractive $sudo $install >/dev/null || {
    echo "that did not work. Install them and try again: $install" >&2
    exit 1
}
