# What the scripts of this folder share; to be sourced.

heading() {
    printf '\n==== %s  [after %d:%02d]\n\n' "$*" $((SECONDS / 60)) $((SECONDS % 60))
}

# Run a command with a virtualenv's programs first on PATH.
within() {
    local venv=$1
    shift
    VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH "$@"
}

version_of() {
    "$1" -c 'import sys; print("{}.{}".format(*sys.version_info))'
}

# Whether a command is the CPython of that version, with all that a build and a virtualenv need.
usable() {
    "$1" - "$2" <<'PY' 2>/dev/null
import ensurepip, os, platform, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
version = "{}.{}".format(*sys.version_info)
with_gil = not sysconfig.get_config_var("Py_GIL_DISABLED")
is_cpython = platform.python_implementation() == "CPython"
sys.exit(not (version == sys.argv[1] and is_cpython and with_gil and os.path.exists(header)))
PY
}

# One interpreter of each version, those on PATH first; or those that PYTHONS names.
interpreters() {
    local version candidate
    if [ -n "${PYTHONS:-}" ]; then
        tr ' ' '\n' <<< "$PYTHONS"
        return
    fi
    for version in 3.11 3.12 3.13 3.14 3.15; do
        for candidate in "python$version" python3 "$HOME/.pyenv/versions/$version".*/bin/python; do
            if usable "$candidate" "$version"; then
                echo "$candidate"
                break
            fi
        done
    done
}

# The interpreter that everything is run on; exits where there is none.
newest() {
    local found
    found=$(interpreters | tail -1)
    [ -n "$found" ] || { echo "no CPython from 3.11 on with its headers" >&2; exit 1; }
    echo "$found"
}

# Build a wheel of the source distribution with one interpreter; prints its path. Nothing is taken
# from pip's cache, which does not know of CLOOP_DEBUG. The distribution is the one in $work/sdist.
build_wheel() {
    local venv=$1 folder=$1/wheel
    within "$venv" pip wheel --quiet --no-cache-dir --no-deps --wheel-dir "$folder" "$work"/sdist/*.tar.gz
    echo "$folder"/*.whl
}
