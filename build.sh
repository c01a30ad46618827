#!/bin/sh
# The entry point for every task. Run ./build.sh without arguments for a list.
set -eu
called_from=$PWD
cd "$(dirname "$0")"
lock=tests/setup/requirements.lock
version=

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
./build.sh install [--python X.Y] GROUP
                                     only install what a task needs: package (check, layer), demo, test, layer (the
                                     layer's checkers, which ./build.sh test installs when their tests run), fuzz, lock
./build.sh lock                      write tests/setup/requirements.lock again, with the newest versions
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

say() {
    echo "build.sh: $1" >&2
}

# Set $interpreter and its $found version: python3 or another one of at least Python 3.11, or the one of --python.
find_interpreter() {
    too_old=
    candidates=${version:+python$version}
    for interpreter in ${candidates:-python3 python3.14 python3.13 python3.12 python3.11}; do
        found=$("$interpreter" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        case $found in
        3.1[1-9] | 3.[2-9][0-9]) return ;;
        *) too_old=${too_old:-$interpreter is Python $found} ;;
        esac
    done
    fail "${too_old:-python${version:-3} is not installed}: install Python ${version:-3.11 or newer}"
}

# Bring the project's virtual environment up to date with these groups of $lock, and set $python.
prepare() {
    find_interpreter
    folder=build/venv${version:+-$version}
    python=$folder/bin/python
    made_for="$(cksum <"$lock") $found $PWD"
    list_missing "$@"
    [ -n "$missing" ] || return 0
    mkdir -p build 2>/dev/null || true
    if [ ! -w build ] || { [ -e "$folder" ] && [ ! -w "$folder" ]; }; then
        fail "$PWD/$folder cannot be written by $(id -un): give that user a checkout, or change the folder's owner"
    fi
    exec 9>build/.install-lock
    if command -v flock >/dev/null && ! flock -n 9; then
        say "waiting for another ./build.sh, which is installing"
        flock 9
        list_missing "$@"
    fi
    [ -z "$missing" ] || install_missing "$@"
    exec 9>&-
}

# Set $missing to those groups that are not installed; to all of them if the environment has to be created again.
list_missing() {
    missing=
    for group; do
        is_current && [ -e "$folder/.has-$group" ] || missing="$missing $group"
    done
}

# An environment in which pip was interrupted may contain half of a package that pip takes for a whole one.
is_current() {
    [ "$(cat "$folder/.made-for" 2>/dev/null)" = "$made_for" ] && [ ! -e "$folder/.incomplete" ]
}

install_missing() {
    is_current || create_environment
    requirements=$folder/requirements.txt
    awk -v wanted="$missing " '/^# group: /{ is_on = index(wanted, " " $3 " ") } is_on' "$lock" >"$requirements"
    count=$(grep '^[^ #].*==' "$requirements" | cut -d= -f1 | sort -u | grep -c .)
    say "installing $count packages into $folder for:$missing$(announce_size)"
    : >"$folder/.incomplete"
    log=$folder/pip.log
    {
        # The requirements are complete: nothing has to be resolved.
        # shellcheck disable=SC2046
        "$python" -m pip install --no-deps --require-hashes $(compile_option) --progress-bar off --no-color \
            --no-input --no-user --disable-pip-version-check --retries "${PIP_RETRIES:-3}" -r "$requirements" 2>&1 ||
            echo "exit status $?"
    } | tee "$log" | show_progress
    case $(tail -n 1 "$log") in "exit status "*) fail "$(explain "$log")" ;; esac
    for group in $missing; do
        : >"$folder/.has-$group"
    done
    rm "$folder/.incomplete"
    say "installed"
}

create_environment() {
    [ -z "${TELEMETRY_FORWARDER_VENV_IN_USE:-}" ] || fail "$folder is not up to date: run ./build.sh install test"
    "$interpreter" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$interpreter has no module venv with pip: install it (Debian and Ubuntu: apt-get install python$found-venv)"
    say "creating $folder with Python $found"
    "$interpreter" -m venv --clear "$folder" >build/venv.log 2>&1 ||
        fail "$interpreter -m venv failed: $(tail -n 1 build/venv.log)"
    # The packages of the checkout can be imported from anywhere.
    echo "$PWD" >"$folder/lib/python$found/site-packages/telemetry-forwarder.pth"
    echo "$made_for" >"$folder/.made-for"
}

# The CDK alone has 400 MB of source, of which one test imports a small part.
compile_option() {
    case $missing in *layer*) echo --no-compile ;; esac
}

announce_size() {
    case $missing in *layer*) echo " (CDK, AWS CLI, cfn-lint, moto: 110 MB to download, 800 MB on disk)" ;; esac
}

# Print one line for each package that pip downloads or takes from its cache.
show_progress() {
    number=0
    while read -r line; do
        case $line in
        *.metadata*) ;;
        "Downloading "* | "Using cached "* | "Processing "*)
            file=${line#Downloading }
            file=${file#Using cached }
            file=${file#Processing }
            path=${file%% *}
            number=$((number + 1))
            echo "  $number/$count $(echo "${path##*/}" | cut -d- -f1,2 | tr - ' ')${file#"$path"}"
            ;;
        "Installing collected packages"*)
            echo "  unpacking into $folder"
            report_size &
            ;;
        "WARNING: Retrying"*) echo "  no answer from the package index, trying again" ;;
        esac
    done >&2
}

# Print how much is unpacked, until pip or this script ends.
report_size() {
    while sleep 3 && [ -e "$folder/.incomplete" ] && kill -0 $$; do
        echo "  $(du -sm "$folder" | cut -f1) MB are unpacked"
    done 2>/dev/null
}

# Return one line about what went wrong in the log of pip, and what to do.
explain() {
    case $(cat "$1") in
    *"No space left on device"*) echo "the disk is full: 1.2 GB are needed for the tests, 0.2 GB for the demo" ;;
    *"DO NOT MATCH THE HASHES"*)
        echo "a download is not the file that $lock names: use an index without changed files, or delete pip's cache"
        ;;
    *ProxyError* | *"Tunnel connection failed"*)
        echo "the proxy refuses the package index: look at HTTPS_PROXY and pip's own settings (pip config list)"
        ;;
    *CERTIFICATE_VERIFY_FAILED* | *SSLError*)
        echo "the certificate of the package index is not trusted: name your proxy's certificate in PIP_CERT"
        ;;
    *"WARNING: Retrying"* | *"Connection refused"* | *ConnectTimeout* | *ReadTimeout*)
        echo "the package index cannot be reached: connect to the network, or set HTTPS_PROXY or PIP_INDEX_URL"
        ;;
    *"No matching distribution"*)
        echo "$(grep -m 1 '^ERROR: No matching' "$1" | cut -c8-) on Python $found: try --python 3.13, or look at $1"
        ;;
    *) echo "pip failed: $(grep -m 1 '^ERROR' "$1" || tail -n 2 "$1" | head -n 1) (all of it: $1)" ;;
    esac
}

# Take --python X.Y off the arguments: the caller shifts by $taken.
read_version() {
    taken=0
    case ${1:-} in
    --python)
        [ $# -ge 2 ] || fail "--python needs a version, for example 3.14"
        version=$2
        taken=2
        ;;
    --python=*)
        version=${1#--python=}
        taken=1
        ;;
    esac
}

# Run every check and every test; the first failure ends it.
run_tests() {
    read_version "$@"
    shift "$taken"
    prepare package demo test
    say "checking format and lint"
    "$python" -m ruff format --check .
    "$python" -m ruff check .
    say "checking types (a minute, later some seconds)"
    "$python" -m mypy
    say "running the tests"
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
    prepare package demo
    exec "$python" -m tests.demo "$@"
    ;;
test)
    run_tests "$@"
    ;;
layer)
    prepare package
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
    prepare package
    "$python" layer/build.py all
    base=$1 tag=$2
    shift 2
    exec "$builder" build --build-arg "BASE=$base" --tag "$tag" "$@" --file layer/Dockerfile .
    ;;
check)
    prepare package
    python=$PWD/$python
    cd "$called_from"
    exec "$python" -m telemetry_forwarder check "$@"
    ;;
fuzz)
    prepare package demo test fuzz
    exec "$python" -m tests.fuzz "$@"
    ;;
bench)
    prepare package demo test
    exec "$python" -m tests.bench "$@"
    ;;
install)
    read_version "$@"
    shift "$taken"
    case "$*" in
    package) prepare package ;;
    demo) prepare package demo ;;
    test) prepare package demo test ;;
    layer | fuzz | lock) prepare package demo test "$1" ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    ;;
lock)
    prepare package demo test lock
    exec "$python" -m tests.setup.lock
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
