# Runs checks one after another, and summarises them at the end. Source it after lib.sh.
# shellcheck shell=bash

checks_log="$(mktemp)"
trap 'rm -f "$checks_log"' EXIT
failed_checks=()

# Runs a check. A failure does not stop the others: the summary reports it.
#   check COMMAND [ARGUMENT...]
check() {
    say "== $*"
    "$@" 2>&1 | tee -a "$checks_log" || failed_checks+=("$*")
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
    if [ "${#failed_checks[@]}" -gt 0 ]; then
        [ -z "$printed" ] || say "$printed"
        say "== failed"
        printf '  %s\n' "${failed_checks[@]}" >&2
        [ -z "$tests" ] || say "$tests"
        exit 1
    fi
    say "all checks passed"
    exit 0
}
