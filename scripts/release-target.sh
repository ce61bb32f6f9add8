# The target of a release, and the tools that it needs. Source it after lib.sh.
# shellcheck shell=bash

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

# Suite of Debian whose C library is the oldest supported one. Ubuntu 20.04 has the same version.
oldest_suite=bullseye oldest_libc=2.31

# Has programs for Linux compiled and linked with the oldest supported C library, and run with it, unless that of this
# machine is as old. Call it after use_target.
use_oldest_libc() {
    local installed sysroot triplet compiler=gcc flags loader linker
    case "$release_target" in
    *-linux-gnu) triplet="${release_target%%-*}-linux-gnu" ;;
    *) return 0 ;;
    esac
    sysroot="${XDG_CACHE_HOME:-$HOME/.cache}/taonet/sysroot/$oldest_suite-$(debian_architecture)"
    if [ ${#release_runner[@]} -eq 0 ]; then
        installed="$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)"
        [ "$(printf '%s\n' "$installed" "$oldest_libc" | sort -V | tail -n 1)" != "$oldest_libc" ] || return 0
        case "$release_target" in
        x86_64-*) loader=lib64/ld-linux-x86-64.so.2 ;;
        aarch64-*) loader=lib/ld-linux-aarch64.so.1 ;;
        esac
        release_runner=("$sysroot/$loader" --library-path "$sysroot/lib/$triplet:$sysroot/usr/lib/$triplet")
    else
        compiler=aarch64-linux-gnu-gcc
        release_runner=(qemu-aarch64 -L "$sysroot")
    fi
    [ -d "$sysroot" ] || make_sysroot "$sysroot"
    # The cross-compiler searches its own directories before those of --sysroot.
    flags="--sysroot='$sysroot' -isystem '$sysroot/usr/include/$triplet' -isystem '$sysroot/usr/include'"
    flags+=" -B'$sysroot/usr/lib/$triplet' -L'$sysroot/usr/lib/$triplet' -L'$sysroot/lib/$triplet'"
    # No path of this machine gets into the line tables.
    flags+=" -ffile-prefix-map='$sysroot=/sysroot'"
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$compiler" "$flags" >"$sysroot/cc.new"
    chmod 755 "$sysroot/cc.new"
    mv "$sysroot/cc.new" "$sysroot/cc"
    linker="CARGO_TARGET_$(printf %s "$release_target" | tr 'a-z-' 'A-Z_')_LINKER"
    export "$linker=$sysroot/cc" "CC_${release_target//-/_}=$sysroot/cc"
}

# Unpacks the oldest supported C library, and the library of its compiler, into a new directory.
#   make_sysroot DIRECTORY
make_sysroot() {
    local new="$1.new" mirror is_complete="" link
    require_mmdebstrap
    say "fetching glibc $oldest_libc of Debian $oldest_suite for $(debian_architecture)"
    # A suite moves to the archive some time after its support ends.
    for mirror in http://deb.debian.org/debian http://archive.debian.org/debian; do
        rm -rf "$new"
        mkdir -p "$new"
        # Nothing is run there: the packages can be of another architecture, and any user can unpack them.
        if mmdebstrap --quiet --variant=extract --mode=chrootless --skip=check/chrootless,check/qemu \
            --architectures="$(debian_architecture)" --include=libc6-dev,libgcc-s1 "$oldest_suite" - "$mirror" |
            tar --extract --directory "$new" --exclude='./dev/*' --no-same-owner; then
            is_complete=yes
            break
        fi
    done
    [ -n "$is_complete" ] || die "cannot fetch the packages libc6-dev and libgcc-s1 of Debian $oldest_suite"
    # Absolute links would lead to the libraries of this machine.
    find "$new" -type l -lname '/*' | while IFS= read -r link; do
        ln -srfn "$new$(readlink "$link")" "$link"
    done
    mv "$new" "$1"
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
