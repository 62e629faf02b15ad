# Virtualenvs with cloop in them, and the suites that run there; to be sourced after common.sh. The source
# distribution is the one in $work/sdist.

sdist() {
    within "$1" python -m build --sdist --outdir "$work/sdist" . > "$work/sdist.log" || { cat "$work/sdist.log"; return 1; }
    ls "$work/sdist"
}

# environment NAME PYTHON [VAR=VALUE...]: a virtualenv $work/NAME with a wheel of its own, built with the variables.
environment() {
    local name=$1 python=$2 wheel
    shift 2
    "$python" -m venv "$work/$name"
    wheel=$(export "_=_" "$@"; build_wheel "$work/$name")
    within "$work/$name" pip install --quiet "${wheel}[test]"
    within "$work/$name" python -m cloop --info
}

# The project's own tests; which half is CLOOP_TEST_LOOPS's to say.
own_tests() {
    within "$work/$1" python -m pytest -q --ignore=tests/stdlib "${@:2}"
}

# asyncio's suite, and whether its runner is sound.
stdlib_tests() {
    within "$work/$1" python -m pytest -q tests/stdlib
}

# uvloop's suite, of its source distribution.
uvloop_tests() {
    local wheel=("$work/$1"/wheel/*.whl)
    within "$work/$1" pip install --quiet "${wheel[0]}[conformance]"
    within "$work/$1" python -m tests.uvloop_suite
}
