# Shared functions of the scripts. Source it: . "$(dirname "$0")/lib.sh"
# shellcheck shell=bash

# Prints a message on standard error. Standard output is for the commands.
say() {
    printf '%s\n' "$*" >&2
}

# Prints an error and exits.
die() {
    say "error: $*"
    exit 1
}

# Prints the comment at the head of a script, which describes it.
#   print_help SCRIPT
print_help() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$1"
}

# Prints the help of a script and exits, if an argument asks for it.
#   help_if_requested SCRIPT [ARGUMENT...]
help_if_requested() {
    local script="$1"
    shift
    case " $* " in *" -h "* | *" --help "*)
        print_help "$script"
        exit 0
        ;;
    esac
}

# Whether a terminal is available for a password prompt.
has_terminal() {
    [ -t 0 ] && [ -t 2 ]
}

# Announces and installs system packages; with sudo if the user is not root and a terminal is available.
# Otherwise exits with the command to run.
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
    # The following lists are split into words on purpose.
    # shellcheck disable=SC2086
    case "$command" in
    # A fresh container has no package lists yet.
    apt-get*) $sudo apt-get update -qq >&2 ;;
    esac
    # shellcheck disable=SC2086
    $sudo $command >&2
}

# Installs the package of a command if the command is missing.
#   require COMMAND PACKAGE
require() {
    command -v "$1" >/dev/null || install_packages "$2"
    command -v "$1" >/dev/null || die "$2 is installed, but there is no command $1"
}

# Like `require`, for optional tools of the tests: installed in CI only; elsewhere, a missing tool is reported.
#   want COMMAND PACKAGE
want() {
    command -v "$1" >/dev/null || [ -z "${CI:-}" ] || (install_packages "$2") || true
    command -v "$1" >/dev/null || say "== SKIPPED: $1 is not installed, so its checks are skipped. Install $2"
}

# Installs a Rust toolchain and a linker if missing. Rust is installed with rustup, since the compilers that systems
# package are often too old.
require_rust() {
    # Running shells do not have rustup's directory on their path yet.
    PATH="$HOME/.cargo/bin:$PATH"
    if ! command -v cargo >/dev/null; then
        command -v rustup >/dev/null || (install_packages rustup) ||
            die "there is no Rust toolchain, and rustup did not come as a package (Debian 12 has none). Install it from https://rustup.rs, then run this again"
        say "installing: rustup default stable"
        rustup default stable >&2
    fi
    # Debian's gcc package lacks the C library.
    if ! echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - >/dev/null 2>&1; then
        if command -v apt-get >/dev/null; then install_packages gcc libc6-dev; else install_packages gcc; fi
    fi
    local found needed
    needed="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml")"
    found="$(rustc --version | cut -d ' ' -f 2)"
    [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" = "$needed" ] ||
        die "Rust $found is too old: taonet needs $needed. Update with: rustup update stable"
}

# Prints the version in Cargo.toml.
workspace_version() {
    sed -n 's/^version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml" | head -n 1
}

# Builds a tool of this version from crates.io into the cache directory, unless it is there.
#   require_cargo_tool NAME VERSION
require_cargo_tool() {
    local tools="${XDG_CACHE_HOME:-$HOME/.cache}/taonet/tools"
    PATH="$tools/bin:$PATH"
    case "$("$1" --version 2>/dev/null)" in "$1 $2" | "$1 v$2") return ;; esac
    # Some tools do not report their version.
    case "$(cargo install --root "$tools" --list 2>/dev/null)" in *"$1 v$2:"*) return ;; esac
    say "installing: cargo install $1 --version $2 --locked"
    # These tools run for seconds, so build time matters more than speed. The disabled features fetch git repositories
    # (cargo-deny) and serve the book (mdbook).
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install "$1" --version "$2" --locked --no-default-features --root "$tools" >&2
}

# Whether the PostgreSQL server is installed: on the path, or in Debian's directory.
has_postgres() {
    command -v initdb >/dev/null && return
    local tool
    for tool in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$tool" ] && return
    done
    return 1
}

# Installs the PostgreSQL server if missing. The tests start their own servers in temporary directories.
require_postgres() {
    has_postgres || if command -v dnf >/dev/null; then install_packages postgresql-server; else install_packages postgresql; fi
    has_postgres || die "PostgreSQL is installed, but there is no command initdb"
}

# Installs the NATS server if missing: on the path, or in Debian's directory for servers. The tests start their own.
require_nats() {
    PATH="$PATH:/usr/sbin" require nats-server nats-server
}

# Whether PoCL is installed, an OpenCL driver that runs kernels on the processor. Debian's build compiles for fixed
# targets; others, such as the Python package, fail on processors that their LLVM does not know.
has_opencl() {
    [ -e /etc/OpenCL/vendors/pocl.icd ]
}

# Like `want`, for PoCL.
want_opencl() {
    local packages="pocl-opencl-icd ocl-icd-libopencl1"
    # The list is split into words on purpose.
    # shellcheck disable=SC2086
    has_opencl || [ -z "${CI:-}" ] || (install_packages $packages) || true
    has_opencl || say "== SKIPPED: tests on an OpenCL device. Install $packages"
}

# The model directory: BB_MODELS_DIR, or the product's default.
models_dir() {
    if [ -n "${BB_MODELS_DIR:-}" ]; then
        printf '%s\n' "$BB_MODELS_DIR"
    elif [ "$(uname -s)" = Darwin ]; then
        printf '%s\n' "$HOME/Library/Caches/taonet/models"
    else
        printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/taonet/models"
    fi
}

# The directory of the Python peers for tests: TAONET_PEERS_DIR, or the cache directory.
peers_dir() {
    printf '%s\n' "${TAONET_PEERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/taonet/peers}"
}

# Runs pip for the interpreter of a virtual environment without pip. It is installed once, in an environment of its own,
# since that takes seconds.
#   pip_for PYTHON ARGUMENT...
pip_for() {
    local python="$1" environment
    environment="$(peers_dir)/pip"
    shift
    "$environment/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$environment"
    "$environment/bin/python" -m pip --python "$python" "$@"
}
