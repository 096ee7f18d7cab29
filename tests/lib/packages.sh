# shellcheck shell=bash
#
# What the scripts of the gate install. Sourced by them, from the project's own folder.

# Runs the command until it holds, three times at most: mirrors and registries are away at times.
again() {
    local pause
    for pause in 5 20; do
        if "$@"; then return; fi
        sleep "$pause"
    done
    "$@"
}

# Installs Debian's packages, with the options given, where this may; whoever calls it looks whether they are there. No service that
# they bring is started: its ports are for tests, or for somebody else.
install_packages() {
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then return 0; fi
    local patient=(-qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    again apt-get update "${patient[@]}" || true
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive again apt-get install "${patient[@]}" -y "$@" >/dev/null || true
}
