# setup: from a fresh Debian 12 machine to a configured build; sourced by test/run and examples/run
#
# Everything it says goes to stderr: stdout belongs to the caller. A second call finds all in place and changes nothing.
# The caller sets `top` to the source tree before it calls anything here.
# shellcheck shell=bash disable=SC2034,SC2154

# What building libmuster, its programs and its workers takes, and what testing takes beside it.
build_packages=(gcc libc6-dev meson ninja-build pkg-config libmsgpack-dev uthash-dev libinih-dev libjansson-dev
    libmicrohttpd-dev python3 python3-msgpack)
test_packages=(g++ clang libclang-rt-dev binutils cppcheck libcriterion-dev spin valgrind)

say() {
    printf '%s\n' "$*" >&2
}

# missing_packages NAME...: those of the named packages that are not installed, one a line.
missing_packages() {
    local name
    for name; do
        dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || echo "$name"
    done
}

# need_packages NAME...: installs what is missing; without the means to, names it and ends the script with 2.
# Where there is no dpkg the configuration itself says what it misses.
need_packages() {
    local missing=() as_root=()
    command -v dpkg-query >/dev/null || return 0
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            say "These packages are missing, and installing them takes root or sudo:"
            say "    apt-get install ${missing[*]}"
            exit 2
        fi
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    # The lists of a fresh machine may be empty or old: only then is an update worth its time.
    if ! install_packages "${missing[@]}" 2>/dev/null; then
        "${as_root[@]}" apt-get update -qq >&2
        install_packages "${missing[@]}"
    fi
}

# install_packages NAME...: reads as_root of its caller.
install_packages() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >&2
}

# configure DIRECTORY COMPILER OPTION...: sets a build directory up, again only when compiler or options have changed.
# A directory that somebody has configured by hand is taken as it is.
configure() {
    local directory=$1 compiler=$2 wanted="$2 ${*:3}" stamp=$1/.configured
    if [ -f "$directory/build.ninja" ]; then
        [ -f "$stamp" ] && [ "$(cat "$stamp")" != "$wanted" ] || return 0
    fi
    say "configuring $(basename "$directory")"
    rm -rf "$directory"
    CC=$compiler quietly meson setup "$directory" "$top" "${@:3}" || return 1
    echo "$wanted" >"$stamp"
}

# build DIRECTORY [TARGET...]: brings it up to date.
build() {
    quietly ninja -C "$1" -j "$(nproc)" "${@:2}"
}

# quietly COMMAND...: shows what the command printed only when it failed.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        say "$output"
        say "failed: $*"
        return 1
    }
}
