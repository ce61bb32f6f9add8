# Functions that the scripts share. Source it: . "$(dirname "$0")/lib.sh"
# shellcheck shell=bash

# Says something to the user. Standard output belongs to the commands that are run.
say() {
    printf '%s\n' "$*" >&2
}

# Says why nothing more can be done, and ends.
die() {
    say "error: $*"
    exit 1
}

# Whether somebody is there who can be asked for a password.
has_terminal() {
    [ -t 0 ] && [ -t 2 ]
}

# Installs system packages, after saying so; with sudo where the user is not root and can be asked for a password.
# Ends with the command to type where it may not.
#   install_packages PACKAGE...
install_packages() {
    local command sudo=""
    if command -v apt-get >/dev/null; then
        command="apt-get install --yes --no-install-recommends $*"
    elif command -v dnf >/dev/null; then
        command="dnf install --assumeyes $*"
    elif command -v pacman >/dev/null; then
        command="pacman -S --noconfirm --needed $*"
    elif command -v brew >/dev/null; then
        command="brew install $*"
    else
        die "please install: $*"
    fi
    case "$command" in
    brew*) ;;
    *)
        if [ "$(id -u)" -ne 0 ]; then
            { command -v sudo >/dev/null && has_terminal; } || die "missing: $*. As root: $command"
            sudo="sudo"
        fi
        ;;
    esac
    say "installing: ${sudo:+$sudo }$command"
    # What follows are lists of plain words.
    # shellcheck disable=SC2086
    case "$command" in
    # A fresh container has no package lists yet.
    apt-get*) $sudo apt-get update -qq >&2 ;;
    esac
    # shellcheck disable=SC2086
    $sudo $command >&2
}

# Makes sure that a command exists, installing its package where it does not.
#   require COMMAND PACKAGE
require() {
    command -v "$1" >/dev/null || install_packages "$2"
    command -v "$1" >/dev/null || die "$2 is installed, but there is no command $1"
}

# As `require`, for what the tests can do without: installed in CI only, and said to be missing elsewhere.
#   want COMMAND PACKAGE
want() {
    command -v "$1" >/dev/null || [ -z "${CI:-}" ] || (install_packages "$2") || true
    command -v "$1" >/dev/null || say "== SKIPPED: $1 is not installed, and what it says of our files is not looked at. Install $2"
}

# Makes sure that there is a Rust toolchain and a linker. Rust itself comes through rustup: the compilers that systems
# package are often too old.
require_rust() {
    # rustup installs here without telling the shells that run already.
    PATH="$HOME/.cargo/bin:$PATH"
    if ! command -v cargo >/dev/null; then
        command -v rustup >/dev/null || (install_packages rustup) ||
            die "there is no Rust toolchain, and rustup did not come as a package (Debian 12 has none). Install it from https://rustup.rs, then run this again"
        say "installing: rustup default stable"
        rustup default stable >&2
    fi
    # Debian's gcc alone has no C library to link with.
    if ! echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - >/dev/null 2>&1; then
        if command -v apt-get >/dev/null; then install_packages gcc libc6-dev; else install_packages gcc; fi
    fi
    local found needed
    needed="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml")"
    found="$(rustc --version | cut -d ' ' -f 2)"
    [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" = "$needed" ] ||
        die "Rust $found is too old: taonet needs $needed. Update with: rustup update stable"
}

# Makes sure that there is cargo-deny in the version that CI uses, built once into the cache directory; puts it first on the
# path.
require_cargo_deny() {
    local version=0.20.2 tools="${XDG_CACHE_HOME:-$HOME/.cache}/taonet/tools"
    PATH="$tools/bin:$PATH"
    [ "$(cargo-deny --version 2>/dev/null)" = "cargo-deny $version" ] && return
    say "installing: cargo install cargo-deny --version $version --locked"
    # It runs for a second: a quick build is worth more than quick code. What is left out fetches from git over the network.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install cargo-deny --version "$version" --locked --no-default-features --root "$tools" >&2
}

# Whether PostgreSQL's server is here: on the path, or where Debian puts it.
has_postgres() {
    command -v initdb >/dev/null && return
    local tool
    for tool in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$tool" ] && return
    done
    return 1
}

# Makes sure that PostgreSQL's server is installed. The tests start servers of their own, in folders of their own.
require_postgres() {
    has_postgres || if command -v dnf >/dev/null; then install_packages postgresql-server; else install_packages postgresql; fi
    has_postgres || die "PostgreSQL is installed, but there is no command initdb"
}

# The directory for models: BB_MODELS_DIR, or where the product looks by itself.
models_dir() {
    if [ -n "${BB_MODELS_DIR:-}" ]; then
        printf '%s\n' "$BB_MODELS_DIR"
    elif [ "$(uname -s)" = Darwin ]; then
        printf '%s\n' "$HOME/Library/Caches/taonet/models"
    else
        printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/taonet/models"
    fi
}

# The directory for the real tools that the tests talk to: TAONET_PEERS_DIR, or the cache directory.
peers_dir() {
    printf '%s\n' "${TAONET_PEERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/taonet/peers}"
}
