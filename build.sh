#!/bin/sh
# The one script. ./build.sh without a word says what it can do.
set -eu
cd "$(dirname "$0")"

usage() {
    cat <<'TEXT'
./build.sh demo                      a real function under a local Lambda, and what arrives as OTLP
./build.sh test [pytest arguments]   format, lint, types, and every test
./build.sh layer [x86_64|arm64|all]  layer/dist/telemetry-forwarder-<arch>.zip
./build.sh image BASE TAG            the layer baked into a container image
./build.sh bench [NAME]              startup, shares, records, memory, flush, chaos, all
TEXT
}

# A virtual environment of the project's own, made anew when pyproject.toml changes.
venv() {
    wanted=$(cksum <pyproject.toml)
    if [ "$(cat build/venv/.made-for 2>/dev/null)" != "$wanted" ]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            echo "build.sh: python3 is older than 3.11" >&2
            exit 1
        }
        python3 -m venv build/venv
        build/venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,layer]'
        echo "$wanted" >build/venv/.made-for
    fi
    python=build/venv/bin/python
}

what=${1:-}
[ $# -eq 0 ] || shift
case $what in
demo)
    venv
    exec "$python" -m tests.demo "$@"
    ;;
test)
    venv
    "$python" -m ruff format --check .
    "$python" -m ruff check .
    "$python" -m mypy
    exec "$python" -m pytest "$@"
    ;;
layer)
    venv
    exec "$python" layer/build.py "$@"
    ;;
image)
    [ $# -eq 2 ] || {
        usage >&2
        exit 2
    }
    venv
    "$python" layer/build.py all
    exec docker build --build-arg "BASE=$1" --tag "$2" --file layer/Dockerfile .
    ;;
bench)
    venv
    exec "$python" -m tests.bench "$@"
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
