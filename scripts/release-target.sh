# The target of a release, and the tools that it needs. Source it after lib.sh.
# shellcheck shell=bash

# Prints the version in Cargo.toml.
workspace_version() {
    sed -n 's/^version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml" | head -n 1
}

# Prints the target of this machine.
this_target() {
    case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) echo x86_64-unknown-linux-gnu ;;
    Linux-aarch64) echo aarch64-unknown-linux-gnu ;;
    Darwin-arm64) echo aarch64-apple-darwin ;;
    *) die "there are no releases for $(uname -s) on $(uname -m)" ;;
    esac
}

# Selects a target. For ARM64 on x86-64, also the compiler of Debian, and qemu, which runs the program.
#   use_target TARGET
use_target() {
    release_target="$1" release_runner=()
    case "$(this_target) $1" in
    "$1 $1") return ;;
    "x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu") ;;
    *) die "there is no cross-compiler for $1 on $(this_target)" ;;
    esac
    require aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
    require aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
    require qemu-aarch64 qemu-user
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
    export AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar OBJCOPY=aarch64-linux-gnu-objcopy
    release_runner=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
}

# Installs the target's standard library of Rust if missing.
require_rust_target() {
    [ ! -d "$(rustc --print target-libdir --target "$release_target")" ] || return 0
    command -v rustup >/dev/null ||
        die "$(rustc --version) has no standard library for $release_target, and there is no rustup to add it"
    say "installing: rustup target add $release_target"
    rustup target add "$release_target" >&2
}

# Whether this machine runs programs of the target by itself, also with binfmt_misc.
#   runs_target PROGRAM
runs_target() {
    [ ${#release_runner[@]} -eq 0 ] || "$1" --version >/dev/null 2>&1
}

# Runs a program of the target.
#   run_target PROGRAM [ARGUMENT...]
run_target() {
    # An empty list is unset to the bash of macOS.
    ${release_runner[@]+"${release_runner[@]}"} "$@"
}

# Prints Debian's name of the target's architecture.
debian_architecture() {
    case "$release_target" in
    x86_64-*) echo amd64 ;;
    aarch64-*) echo arm64 ;;
    esac
}

# Prints the SHA-256 sums of files, in the format of sha256sum.
sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# Installs mmdebstrap if missing, and what it needs for Debian's mirror on other systems, such as Ubuntu.
require_mmdebstrap() {
    require mmdebstrap mmdebstrap
    require gpg gpg
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || install_packages debian-archive-keyring
}
