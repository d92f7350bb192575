#!/usr/bin/env bash
# Makes .venv: the pinned packages of requirements.lock and, editable, bpfsmith itself. `make setup` runs this when one of them
# changed. As root on Debian it also installs what no Python package brings: python3-venv, iproute2 for the network namespaces
# of tests and demo, qemu for other kernels, libbpf's headers, bpftool and a C compiler. A healthy .venv is kept and only brought
# up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# debian PACKAGE..: installs Debian packages; fails where that is not ours to do.
debian() {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    say "installing $* (apt)"
    export DEBIAN_FRONTEND=noninteractive
    # The package lists of a fresh machine are empty or old: fetched only if the first try needs it.
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 </dev/null ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null </dev/null
}

# Prints the first Python that is new enough; PYTHON=.. names another.
find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

command -v python3 >/dev/null || debian python3 python3-venv || fail "python3 is missing: install Python 3.11 or newer"
python=$(find_python) ||
    fail "$(python3 --version) is too old: install Python 3.11 or newer, and name it with make PYTHON=/path/to/python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv ||
    fail "$python cannot make a .venv: as root, apt-get install python3-venv"
# Kernel tests and the demo attach programs only in namespaces of their own; compile and prove do without.
command -v ip >/dev/null || debian iproute2 || say "no ip(8) here: what attaches programs needs iproute2 (apt-get install iproute2)"

# Other kernels are emulated (verify --kernel); libbpf's headers and bpftool are for programs that include <bpf/..> and vmlinux.h.
need=()
command -v qemu-system-x86_64 >/dev/null || need+=(qemu-system-x86)
[ -e /usr/include/bpf/bpf_helpers.h ] || need+=(libbpf-dev)
[ -x /usr/sbin/bpftool ] || command -v bpftool >/dev/null || need+=(bpftool)
command -v gcc >/dev/null || need+=(gcc libc6-dev)
[ ${#need[@]} = 0 ] || debian "${need[@]}" || say "no ${need[*]} here: verify --kernel, and some C programs, need them (apt-get install ${need[*]})"

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "making .venv (downloads about 170 MB, once)"
    "$python" -m venv --clear .venv
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check --no-input -qq "$@"; }  # says only errors
# The lock is complete, so nothing is resolved; hatchling is in it, so nothing is fetched to build the package either.
pip install --no-deps --requirement requirements.lock
pip install --no-deps --no-build-isolation --editable .
# An editable install is compiled at its first import, or never where PYTHONDONTWRITEBYTECODE is set: half of a short command's time.
.venv/bin/python -m compileall -q src
