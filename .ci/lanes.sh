# Jobs side by side, so many at a time as there are processors; to be sourced after common.sh.

LANES=${LANES:-$(nproc)}
lanes=()
lanes_failed=()

# start TITLE COMMAND...: once a lane is free, run a command (or a function) in it. What it prints is shown when it ends.
start() {
    local folder title=$1
    shift
    while [ ${#lanes[@]} -ge "$LANES" ]; do end_one; done
    folder=$(mktemp -d "$work/lane.XXXXXX")
    echo "$title" > "$folder/title"
    echo $SECONDS > "$folder/began"
    # Not at the head of a condition, where -e would not hold in the function. What it ended with is in a file:
    # `wait -n` does not know of a job that ended before.
    (
        trap 'echo $? > "$folder/status"' EXIT
        set -euo pipefail
        "$@"
    ) > "$folder/log" 2>&1 < /dev/null &
    echo $! > "$folder/pid"
    lanes+=("$folder")
}

# Wait for the first of the running jobs that ends, and show it.
end_one() {
    local folder status title
    while :; do
        for folder in "${lanes[@]}"; do
            if [ -e "$folder/status" ] || ! kill -0 "$(cat "$folder/pid")" 2> /dev/null; then break 2; fi
        done
        sleep 0.2
    done
    status=$(cat "$folder/status" 2> /dev/null || echo killed)
    title=$(cat "$folder/title")
    heading "$title: ended with $status, took $((SECONDS - $(cat "$folder/began"))) s"
    cat "$folder/log"
    [ "$status" = 0 ] || lanes_failed+=("$title")
    drop_lane "$folder"
}

drop_lane() {
    local folder left=()
    for folder in "${lanes[@]}"; do
        [ "$folder" = "$1" ] || left+=("$folder")
    done
    lanes=(${left[@]+"${left[@]}"})
}

# Wait for all that was started. Exits with 1 if any of it failed.
finish() {
    while [ ${#lanes[@]} -gt 0 ]; do end_one; done
    [ ${#lanes_failed[@]} = 0 ] && return
    heading "FAILED"
    printf '%s\n' "${lanes_failed[@]}"
    exit 1
}
