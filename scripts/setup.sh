#!/bin/sh
# Make .venv from requirements.lock with uv, finding or fetching uv and a suitable Python; never needs root.
#
#   scripts/setup.sh environment    make or renew .venv
#   scripts/setup.sh lock           resolve the dependencies anew into requirements.lock

set -eu
cd "$(dirname "$0")/.."
TOOLS=.tools
VENV=.venv
PYTHON_WANTED=3.13

say() { printf '%s\n' "$*" >&2; }

# A name on PATH proves nothing (pyenv's stand-ins fail when run), so each candidate is run.
works() { "$@" --version >/dev/null 2>&1; }

suitable() {
    "$1" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1
}

find_python() {
    for candidate in python3.13 python3.14 python3.12 python3 \
        "${HOME:-/}"/.pyenv/versions/3.13*/bin/python3.13 "${HOME:-/}"/.pyenv/versions/3.14*/bin/python3.14 \
        "${HOME:-/}"/.pyenv/versions/3.12*/bin/python3.12 \
        /opt/*python*/bin/python3.13 /opt/*python*/bin/python3.14 /opt/*python*/bin/python3.12 \
        /opt/homebrew/bin/python3.13 /usr/local/bin/python3.13; do
        if suitable "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    return 1
}

# Any Python 3 can fetch uv; it need not be one the service runs on.
any_python() {
    for candidate in "$(find_python || true)" python3 /usr/bin/python3 python; do
        if [ -n "$candidate" ] && works "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

uv_by_venv() {
    "$1" -m venv "$TOOLS" && "$TOOLS/bin/pip" install --quiet --disable-pip-version-check uv
}

uv_by_pip() {
    "$1" -m pip install --quiet --disable-pip-version-check --target "$TOOLS/packages" uv &&
        mkdir -p "$TOOLS/bin" && ln -sf ../packages/bin/uv "$TOOLS/bin/uv"
}

# Debian's bare python3 has neither venv nor pip: then uv's own installer, which puts one file where we say.
uv_by_installer() {
    mkdir -p "$TOOLS" &&
        "$1" -c '
import sys, urllib.request
with urllib.request.urlopen("https://astral.sh/uv/install.sh", timeout=60) as answer:
    open(sys.argv[1], "wb").write(answer.read())' "$TOOLS/install-uv.sh" &&
        UV_UNMANAGED_INSTALL="$PWD/$TOOLS/bin" sh "$TOOLS/install-uv.sh"
}

find_uv() {
    for candidate in uv "$PWD/$TOOLS/bin/uv" "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
        if works "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

fetch_uv() {
    python=$(any_python) || {
        say "No Python 3 was found. Install Python 3.12 or newer (on Debian and Ubuntu: apt install python3)."
        return 1
    }
    say "Fetching uv, which makes the environment…"
    for way in uv_by_venv uv_by_pip uv_by_installer; do
        rm -rf "$TOOLS"
        if "$way" "$python" >"$VENV.log" 2>&1 && works "$PWD/$TOOLS/bin/uv"; then
            rm -f "$VENV.log"
            return 0
        fi
    done
    say "uv could not be fetched; the last try said:"
    tail -n 5 "$VENV.log" >&2
    rm -f "$VENV.log"
    say "Check the network, or install uv yourself: https://docs.astral.sh/uv/getting-started/installation/"
    return 1
}

require_uv() {
    UV=$(find_uv) || { fetch_uv && UV=$(find_uv); }
}

environment() {
    require_uv
    if ! suitable "$VENV/bin/python"; then
        python=$(find_python) || python=$PYTHON_WANTED # uv fetches it
        say "Making the environment with Python from $python…"
        rm -rf "$VENV"
        "$UV" venv --quiet --python "$python" "$VENV" || {
            say "No Python 3.12 to 3.14 was found here, and uv could not fetch one: install it, then run make again."
            return 1
        }
    fi
    say "Installing the locked packages…"
    # Compiled now: where Python may not write bytecode, each of the service's processes would compile for itself.
    "$UV" pip sync --quiet --compile-bytecode --python "$VENV/bin/python" --require-hashes requirements.lock
    touch "$VENV/.from-lock"
}

lock() {
    require_uv
    "$UV" pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-emit-index-url \
        --no-header --group local --group dev pyproject.toml --output-file requirements.lock "$@"
}

case "${1:-}" in
environment) environment ;;
lock)
    shift
    lock "$@"
    ;;
*)
    say "usage: scripts/setup.sh environment|lock"
    exit 2
    ;;
esac
