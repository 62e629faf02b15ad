# Jobs side by side, so many at a time as there are processors; to be sourced after common.sh (bash 5.1 or later).

LANES=${LANES:-$(nproc)}
declare -A lane_titles lane_began
lanes_failed=()

# start TITLE COMMAND...: once a lane is free, run a command (or a function) in it. What it prints is shown when it ends.
start() {
    local title=$1
    shift
    while [ ${#lane_titles[@]} -ge "$LANES" ]; do end_one; done
    # Not at the head of a condition, where -e would not hold in the function.
    (set -euo pipefail; "$@") > "$work/lane.$title" 2>&1 < /dev/null &
    lane_titles[$!]=$title
    lane_began[$!]=$SECONDS
}

end_one() {
    local pid status=0 title
    wait -n -p pid "${!lane_titles[@]}" || status=$?
    title=${lane_titles[$pid]}
    heading "$title: exit code $status, took $((SECONDS - lane_began[$pid])) s"
    cat "$work/lane.$title"
    [ $status = 0 ] || lanes_failed+=("$title")
    unset "lane_titles[$pid]"
}

# Wait for all that was started. Exits with 1 if any of it failed.
finish() {
    while [ ${#lane_titles[@]} -gt 0 ]; do end_one; done
    [ ${#lanes_failed[@]} = 0 ] && return
    heading "FAILED: ${lanes_failed[*]}"
    exit 1
}
