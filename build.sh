#!/bin/sh
# The entry point for every task. Run ./build.sh without arguments for a list.
set -eu
called_from=$PWD
cd "$(dirname "$0")"

usage() {
    cat <<'TEXT'
./build.sh demo [--endpoint URL [--header KEY=VALUE]] [--keep]
                                     run a function in a local Lambda, and show the telemetry that arrives
./build.sh test [--python X.Y] [pytest arguments]
                                     check format, lint, types and scripts, then run every test
                                     (--python: with another installed interpreter, for example 3.14)
./build.sh layer [x86_64|arm64|all]  build layer/dist/telemetry-forwarder-<arch>.zip
./build.sh image BASE TAG [options]  build a container image with the layer in it; options are those of the builder:
                                     docker, podman or buildah, the first that is installed, or $BUILDER
./build.sh check [--env-file FILE] [--timeout SECONDS]
                                     check the settings and the endpoints, and print what is wrong
./build.sh fuzz [SECONDS] [TARGET]   search for inputs that break a promise, 10 minutes for each target
./build.sh bench [NAME]              run startup, shares, records, memory, flush, chaos or all
TEXT
}

# Packages and modules without I/O, each line and branch of which is tested.
pure=$(
    for name in telemetry log_formats invocations otlp conversion flushing endpoints; do
        printf 'telemetry_forwarder/%s/*,' $name
    done
    for name in certificates findings items known_backends responses settings_list tls_problems; do
        printf 'telemetry_forwarder/check/%s.py,' $name
    done
    for name in buffer/ledger buffer/outbox export/answers export/responses export/splitting export/circuit_breaker \
        transport/response_reader transport/outcome transport/grpc/frames transport/grpc/status settings http1; do
        printf 'telemetry_forwarder/%s.py,' $name
    done
)

fail() {
    echo "build.sh: $1" >&2
    exit 1
}

# Create the project's virtual environment, or renew it after a change of pyproject.toml, and set $python.
# $1 is the interpreter to use: a version such as 3.14, or empty for python3.
make_venv() {
    interpreter=python3$(printf %s "$1" | sed -n 's/^3//p')
    folder=build/venv${1:+-$1}
    "$interpreter" -c pass 2>/dev/null || fail "$interpreter is not installed"
    wanted=$(cksum <pyproject.toml)
    if [ "$(cat "$folder/.made-for" 2>/dev/null)" != "$wanted" ]; then
        "$interpreter" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$interpreter is older than 3.11"
        "$interpreter" -m venv "$folder"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[test,layer]'
        echo "$wanted" >"$folder/.made-for"
    fi
    python=$folder/bin/python
}

# Run every check and every test; the first failure ends it.
run_tests() {
    version=
    case ${1:-} in
    --python)
        [ $# -ge 2 ] || fail "--python needs a version, for example 3.14"
        version=$2
        shift 2
        ;;
    --python=*)
        version=${1#--python=}
        shift
        ;;
    esac
    make_venv "$version"
    "$python" -m ruff format --check .
    "$python" -m ruff check .
    "$python" -m mypy
    if [ $# -gt 0 ]; then
        # Only a full run can meet the coverage limits.
        exec "$python" -m pytest "$@"
    fi
    # Interpreters that the tests start in isolation record their lines into a folder.
    records=$(mktemp -d)
    TELEMETRY_FORWARDER_COVERAGE_RECORDS=$records "$python" -m pytest --cov --cov-report=
    "$python" -m tests.support.subprocess_coverage "$records" .coverage.processes
    rm -r "$records"
    "$python" -m coverage combine --quiet --append
    "$python" -m coverage report
    "$python" -m coverage report --fail-under=100 --include="$pure"
}

task=${1:-}
[ $# -eq 0 ] || shift
case $task in
demo)
    make_venv ""
    exec "$python" -m tests.demo "$@"
    ;;
test)
    run_tests "$@"
    ;;
layer)
    make_venv ""
    exec "$python" layer/build.py "$@"
    ;;
image)
    [ $# -ge 2 ] || {
        usage >&2
        exit 2
    }
    # Before the layers are built, which takes long.
    for builder in ${BUILDER:-docker podman buildah}; do
        command -v "$builder" >/dev/null && break
        builder=
    done
    [ -n "$builder" ] || fail "not installed: ${BUILDER:-docker, podman or buildah}"
    make_venv ""
    "$python" layer/build.py all
    base=$1 tag=$2
    shift 2
    exec "$builder" build --build-arg "BASE=$base" --tag "$tag" "$@" --file layer/Dockerfile .
    ;;
check)
    make_venv ""
    python=$PWD/$python
    cd "$called_from"
    exec "$python" -m telemetry_forwarder check "$@"
    ;;
fuzz)
    make_venv ""
    "$python" -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
    exec "$python" -m tests.fuzz "$@"
    ;;
bench)
    make_venv ""
    exec "$python" -m tests.bench "$@"
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
