# Runs checks one after another, and summarises them at the end. Source it after lib.sh.
# shellcheck shell=bash

checks_dir="$(mktemp -d)"
checks_log="$checks_dir/log"
# Process group of the checks that run beside the others.
beside=""
touch "$checks_log" "$checks_dir/failed"
trap '[ -z "$beside" ] || kill -- "-$beside" 2>/dev/null || true; rm -rf "$checks_dir"' EXIT

# Runs a check. A failure does not stop the others: the summary reports it.
#   check COMMAND [ARGUMENT...]
check() {
    say "== $*"
    "$@" 2>&1 | tee -a "$checks_log" || check_failed "$*"
}

#   check_failed NAME
check_failed() {
    printf '  %s\n' "$1" >>"$checks_dir/failed"
}

# Runs a function's checks beside the next ones, with what processor time these leave. `finish_beside` waits for them
# and prints their output.
#   check_beside FUNCTION
check_beside() {
    # A process group of its own, which the trap ends.
    set -m
    (
        checks_log=/dev/null
        "$@"
    ) >"$checks_dir/beside" 2>&1 </dev/null &
    beside=$!
    set +m
    renice -n 19 -g "$beside" >/dev/null 2>&1 || true
}

finish_beside() {
    say "== waiting for the checks beside the others"
    wait "$beside" || check_failed "the checks beside the others ended early"
    beside=""
    tee -a "$checks_log" <"$checks_dir/beside"
}

# Lists the checks and tests that failed, with what these tests printed, and what was skipped. Exits with 1 if a check
# failed, otherwise with 0.
summarize_checks() {
    local skipped tests printed
    # The messages of skipped tests, and of `want` in lib.sh.
    skipped="$(sed -nE 's/^(!!! |== )?((SKIPPED|NOT TESTED).*)/  \2/p' "$checks_log" | sort -u)"
    tests="$(sed -nE 's/^test (.*) \.\.\. FAILED$/  test \1/p' "$checks_log" | sort -u)"
    # Captured output, between "---- NAME stdout ----" and the list of the program's failed tests.
    printed="$(sed -nE '/^---- .* stdout ----$/,/^failures:$/{/^failures:$/!p}' "$checks_log")"
    [ -z "$skipped" ] || say $'== skipped\n'"$skipped"
    if [ -s "$checks_dir/failed" ]; then
        [ -z "$printed" ] || say "$printed"
        say "== failed"
        cat "$checks_dir/failed" >&2
        [ -z "$tests" ] || say "$tests"
        exit 1
    fi
    say "all checks passed"
    exit 0
}
