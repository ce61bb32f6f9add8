# Stands for docker, whose daemon tests cannot run. The containers of a project have their files in
# $root/PROJECT/SERVICE, and volumes are links; commands of containers run on this machine, with the
# variables of .env and of compose.yml. It fails where Docker would, and if both stacks would run.
set -eu
fail() {
    echo "docker: $*" >&2
    exit 1
}
[ "$1" = compose ] || fail "unexpected command $1"
verb=$2
shift 2
project=$root/$(basename "$PWD")

# Creates a container unless it exists.
create() {
    while read -r volume path; do
        mkdir -p "$project/volumes/$volume" "$1$(dirname "$path")"
        [ -e "$1$path" ] || ln -s "$project/volumes/$volume" "$1$path"
    done <"$project/mounts"
}

# Exports lines NAME=VALUE.
variables() {
    while IFS= read -r line; do
        case $line in [A-Z]*=*) export "${line?}" ;; esac
    done
}

# Runs a command in the container of a directory.
execute() {
    container=$1
    shift
    variables <.env
    sed "s,/home/taonet,$container/home/taonet,; s,/run/taonet,$container/run/taonet," \
        "$project/environment" >"$container/environment"
    variables <"$container/environment"
    cd "$container/home/taonet"
    "$@"
}

# Prints the path of a file, also of SERVICE:PATH.
path() {
    case $1 in
    *:*)
        [ -d "$project/${1%%:*}" ] || fail "service ${1%%:*} has no container"
        printf '%s' "$project/${1%%:*}${1#*:}"
        ;;
    *) printf '%s' "$1" ;;
    esac
}

# Marks the project as running.
begin() {
    for state in "$root"/*/running; do
        [ ! -e "$state" ] || fail "there is a stack that runs: $state"
    done
    : >"$project/running"
}

case "$verb $*" in
"build --build-arg UID="[0-9]*) ;;
"up --detach token model-cache") sh "$root/token-command" ;;
"create runner") create "$project/runner" ;;
"run --rm --no-deps runner "*)
    shift 3
    create "$project/run"
    (execute "$project/run" "$@")
    # Files outside of volumes are lost.
    rm -r "$project/run"
    ;;
"cp "*)
    [ "$1" != --archive ] || shift
    [ $# -eq 2 ] || fail "cp takes two paths"
    from=$(path "$1")
    to=$(path "$2")
    # Only volumes of the container are writable.
    [ -d "$to" ] || fail "$2 is no directory"
    cp -RH "$from" "$to"
    ;;
"up --detach --wait")
    begin
    create "$project/runner"
    # shellcheck disable=SC2046 # A command line without blanks in its words.
    (execute "$project/runner" $(cat "$root/runner-command") >"$root/report.json")
    ;;
"start ") begin ;;
"stop ") rm -f "$project/running" ;;
*) fail "unexpected command: compose $verb $*" ;;
esac
