#!/bin/sh
# Installs the latest release of taonet: the program tao, its links bb, sn2-miner and sn2-validator, man pages, and
# completions for bash, zsh and fish.
#
# Usage: install.sh --from URL|DIR [--prefix DIR] [--restart COMMAND]
#   --from URL|DIR     release server, or a directory of releases [default: TAO_UPDATE_URL]
#   --prefix DIR       installs into DIR/bin and DIR/share [default: ~/.local]
#   --restart COMMAND  shell command that restarts the daemons after an update, and succeeds once they are ready, within
#                      5 minutes. If it fails, the previous program is restored, and the command runs again
#
# The release is installed only if its list of digests has a valid minisign signature of the key below, the program has
# the digest in that list, and it reports the promised version. `tao update` makes the same checks.
set -eu
export LC_ALL=C

# The second line of crates/update/release.pub.
key=RWQLQkKiZyZGFCzs0lDbAoiU4bsIzDT00SChOFyOcwogUTUiuqQkmTfE
# Maximum size of the program in blocks of 512 bytes: 512 MiB.
max_blocks=1048576
max_document=65536

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

from="${TAO_UPDATE_URL:-}"
prefix="${HOME:-}/.local"
restart=""
while [ $# -gt 0 ]; do
    case "$1" in
    --from | --prefix | --restart)
        [ $# -gt 1 ] || die "$1 needs a value"
        case "$1" in --from) from="$2" ;; --prefix) prefix="$2" ;; *) restart="$2" ;; esac
        shift 2
        ;;
    -h | --help)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) die "unknown argument: $1. Usage: install.sh --from URL|DIR [--prefix DIR] [--restart COMMAND]" ;;
    esac
done
[ -n "$from" ] || die "there is no official release server yet: name one with --from URL"
case "$from" in
*://*) command -v curl >/dev/null || die "curl is not installed. On Debian: apt-get install curl" ;;
esac
command -v minisign >/dev/null ||
    die "minisign is not installed, so the release cannot be verified. Install it: apt-get install minisign (Debian), dnf install minisign (Fedora), brew install minisign (macOS)"

case "$(uname -s)-$(uname -m)" in
Linux-x86_64) target=x86_64-unknown-linux-gnu ;;
Linux-aarch64 | Linux-arm64) target=aarch64-unknown-linux-gnu ;;
Darwin-arm64) target=aarch64-apple-darwin ;;
*) die "there are no releases for $(uname -s) on $(uname -m). Build from source: cargo install --path crates/cli" ;;
esac

# Prints the SHA-256 of a file.
sha256() {
    if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

# Fetches a file of the release server; partial files resume.
#   fetch PATH FILE SECONDS
fetch() {
    case "$from" in
    *://*)
        curl --fail --silent --show-error --proto '=http,https,file' --connect-timeout 10 --max-time "$3" \
            --speed-limit 1 --speed-time 30 --continue-at - --output "$2" "${from%/}/$1"
        ;;
    *) cat "${from%/}/$1" >"$2" ;;
    esac
}

# Fetches a small file.
document() {
    # Cut off by the limit on file sizes if the server sends more.
    (ulimit -f $((max_document / 512)) && fetch "$1" "$2" 30) 2>"$work/errors" ||
        die "cannot read $1 from the release server: $(head -n 1 "$work/errors" | cut -c 1-300)"
}

# Whether version $1 is newer than $2, in the order of semantic versioning.
is_newer() {
    [ "${1%%+*}" = "${2%%+*}" ] || awk -v a="${1%%+*}" -v b="${2%%+*}" '
        function core(v) { sub(/-.*/, "", v); return v }
        function pre(v) { return index(v, "-") ? substr(v, index(v, "-") + 1) : "" }
        # 1 if x is after y, -1 if before, 0 if equal.
        function numbers(x, y) { return x + 0 > y + 0 ? 1 : x + 0 < y + 0 ? -1 : 0 }
        function word(x, y) {
            if (x ~ /^[0-9]+$/ && y ~ /^[0-9]+$/) return numbers(x, y)
            if (x ~ /^[0-9]+$/) return -1
            if (y ~ /^[0-9]+$/) return 1
            return (x "") > (y "") ? 1 : (x "") < (y "") ? -1 : 0
        }
        BEGIN {
            split(core(a), x, "."); split(core(b), y, ".")
            for (i = 1; i <= 3; i++) if ((c = numbers(x[i], y[i])) != 0) exit (c < 0)
            if (pre(a) == "" || pre(b) == "") exit (!(pre(a) == "" && pre(b) != ""))
            m = split(pre(a), x, "."); n = split(pre(b), y, ".")
            for (i = 1; i <= m && i <= n; i++) if ((c = word(x[i], y[i])) != 0) exit (c < 0)
            exit (m <= n)
        }' && [ "${1%%+*}" != "${2%%+*}" ]
}

# Prints the version that a program reports; nothing if it fails or takes longer than 10 s.
version_of() {
    if command -v timeout >/dev/null; then set -- timeout 10 "$1"; fi
    "$@" --version 2>/dev/null </dev/null | sed -n '1s/^tao //p' || true
}

# Restarts the daemons. Its output goes to standard error.
restart_daemons() {
    if command -v timeout >/dev/null; then timeout 300 sh -c "$restart"; else sh -c "$restart"; fi >&2 </dev/null
}

# Installs the completions of a program.
#   add_completions SHELL PROGRAM FILE
add_completions() {
    "$bin/tao" completions "$1" --program "$2" >"$work/completions" &&
        mkdir -p "${3%/*}" && cp "$work/completions" "$3"
}

# Installs the man pages and completions of the installed program, whether this script or `tao update` installed it.
install_pages() {
    "$bin/tao" man "$work/man" && mkdir -p "$share/man/man1" && cp "$work/man/"*.1 "$share/man/man1/" || return
    for program in tao bb; do
        # bb may be another program.
        [ "$program" = tao ] || [ -L "$bin/$program" ] || continue
        add_completions bash "$program" "$share/bash-completion/completions/$program" &&
            add_completions zsh "$program" "$share/zsh/site-functions/_$program" &&
            add_completions fish "$program" "$share/fish/vendor_completions.d/$program.fish" || return
    done
}

bin="$prefix/bin"
share="$prefix/share"
{ mkdir -p "$bin" 2>/dev/null && [ -w "$bin" ]; } || die "cannot write to $bin. Choose another directory with --prefix"
work="$(mktemp -d)"
# Not the file of `tao update`, which may run at the same time.
new="$bin/.tao.install"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

document latest.json "$work/latest.json"
version="$(sed -n 's/.*"version"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$work/latest.json" | head -n 1)"
printf '%s\n' "$version" | grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$' ||
    die "latest.json has no valid version"
name="tao-$version-$target"

installed=""
[ ! -x "$bin/tao" ] || installed="$(version_of "$bin/tao")"
if [ -n "$installed" ] && ! is_newer "$version" "$installed"; then
    is_newer "$installed" "$version" &&
        die "the latest release $version is older than the installed version $installed, which stays"
    say "tao $installed is up to date"
else
    document "$version/SHA256SUMS" "$work/SHA256SUMS"
    document "$version/SHA256SUMS.minisig" "$work/SHA256SUMS.minisig"
    minisign -VHq -P "$key" -x "$work/SHA256SUMS.minisig" -m "$work/SHA256SUMS" >"$work/errors" 2>&1 ||
        die "release $version is not signed with the release key: do not install it; report the problem to its publisher"
    digest="$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")"
    printf '%s\n' "$digest" | grep -Eqx '[0-9a-f]{64}' || die "release $version does not list $name"
    [ "$(printf '%s\n' "$digest" | wc -l)" -eq 1 ] || die "release $version lists $name twice"

    say "downloading tao $version"
    # A partial file may be of another program: then the download starts from the beginning.
    for _ in 1 2; do
        resumed=false
        [ ! -s "$new" ] || resumed=true
        if [ "$resumed" = false ] || [ "$(sha256 "$new")" != "$digest" ]; then
            code=0
            (ulimit -f "$max_blocks" && fetch "$version/$name" "$new" 3600) 2>"$work/errors" || code=$?
            # The server has no ranges, or the program is shorter than the partial file.
            if [ "$resumed" = true ] && { [ "$code" -eq 33 ] || grep -q 'error: 416' "$work/errors"; }; then
                rm -f "$new"
                continue
            fi
            # Larger than the limit, or no space left.
            case "$code" in 23 | 1[0-9][0-9]) rm -f "$new" ;; esac
            [ "$code" -eq 0 ] ||
                die "cannot download $name; run this again to resume: $(head -n 1 "$work/errors" | cut -c 1-300)"
        fi
        [ "$(sha256 "$new")" != "$digest" ] || break
        rm -f "$new"
        [ "$resumed" = true ] || break
    done
    [ -f "$new" ] || die "$name does not match the SHA-256 in the signed list; the download was deleted"

    chmod 755 "$new"
    if [ "$(version_of "$new")" != "$version" ]; then
        rm -f "$new"
        die "the new program failed its self-test: it does not report version $version"
    fi
    replaced=false
    if [ -e "$bin/tao" ]; then
        replaced=true
        rm -f "$bin/.tao.previous"
        ln "$bin/tao" "$bin/.tao.previous" 2>/dev/null || cp -p "$bin/tao" "$bin/.tao.previous"
        mv -f "$bin/.tao.previous" "$bin/tao.previous"
    fi
    mv -f "$new" "$bin/tao"
    if [ "$(version_of "$bin/tao")" != "$version" ]; then
        if [ "$replaced" = true ]; then
            mv -f "$bin/tao.previous" "$bin/tao"
            die "the new program failed its self-test after the replacement, and the previous one was restored"
        fi
        rm -f "$bin/tao"
        die "the new program failed its self-test after the installation, and was removed"
    fi
    if [ -n "$restart" ] && [ "$replaced" = true ] && ! restart_daemons; then
        mv -f "$bin/tao.previous" "$bin/tao"
        restart_daemons || die "the daemons became ready neither with version $version nor with the previous one, which was restored"
        die "the daemons did not become ready with version $version; the previous one was restored, and they run it"
    fi
    say "installed $bin/tao $version"
fi

for link in bb sn2-miner sn2-validator; do
    if [ -e "$bin/$link" ] && [ ! -L "$bin/$link" ]; then
        say "warning: $bin/$link is not a link, and stays as it is"
    else
        ln -sf tao "$bin/$link"
    fi
done
install_pages >/dev/null 2>"$work/errors" ||
    say "warning: man pages and completions are not installed: $(head -n 1 "$work/errors" | cut -c 1-300)"
case ":${PATH:-}:" in
*":$bin:"*) ;;
*) say "hint: $bin is not on your PATH" ;;
esac
