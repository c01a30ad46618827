#!/bin/sh
# Publishes the layers of both architectures to the given regions with the AWS CLI, and prints their ARNs.
#
#   ./build.sh layer all
#   layer/publish.sh eu-west-1 us-east-1               # dry run: prints the commands
#   layer/publish.sh --run eu-west-1 us-east-1         # publishes, for your own account
#   layer/publish.sh --run --public eu-west-1          # publishes, for all accounts
#
# --name NAME   the layers are called NAME-x86_64 and NAME-arm64 (telemetry-forwarder)
# --dist DIR    folder of the zips (layer/dist)
set -eu

# Lambda accepts at most 15: the newest that it supported in November 2026. The layer runs on every runtime with glibc; the
# list only decides where the console offers it.
runtimes='nodejs22.x nodejs24.x nodejs26.x python3.12 python3.13 python3.14 python3.15 java17 java21 java25 dotnet10
    ruby3.3 ruby3.4 ruby4.0 provided.al2023'

usage() {
    sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"
}

name=telemetry-forwarder
dist=$(dirname "$0")/dist
regions=
run=
public=
while [ $# -gt 0 ]; do
    case $1 in
        --run) run=yes ;;
        --public) public=yes ;;
        --name) name=${2:?"--name needs a value"} && shift ;;
        --dist) dist=${2:?"--dist needs a value"} && shift ;;
        -h | --help) usage && exit 0 ;;
        -*) echo "publish.sh: no such option: $1" >&2 && usage >&2 && exit 2 ;;
        *[!a-z0-9-]*) echo "publish.sh: not a region: $1" >&2 && exit 2 ;;
        *) regions="$regions $1" ;;
    esac
    shift
done
[ -n "$regions" ] || { echo "publish.sh: name at least one region" >&2 && usage >&2 && exit 2; }

for arch in x86_64 arm64; do
    [ -f "$dist/telemetry-forwarder-$arch.zip" ] ||
        { echo "publish.sh: $dist/telemetry-forwarder-$arch.zip is missing; run ./build.sh layer all" >&2 && exit 1; }
done
[ -z "$run" ] || command -v aws >/dev/null 2>&1 ||
    { echo "publish.sh: the AWS CLI (aws) is not installed" >&2 && exit 1; }

# Runs the AWS CLI; in a dry run, prints the command.
call() {
    if [ -n "$run" ]; then
        aws "$@"
    else
        show aws "$@"
    fi
}

# Prints a command as a shell reads it.
show() {
    line=
    for word; do
        case $word in
            '' | *[!A-Za-z0-9_./:=,-]*) word=\'$(printf %s "$word" | sed "s/'/'\\\\''/g")\' ;;
        esac
        line=$line${line:+ }$word
    done
    printf '%s\n' "$line"
}

publish() {
    # Split on purpose: one argument for each runtime.
    # shellcheck disable=SC2086
    call lambda publish-layer-version --region "$1" --layer-name "$name-$2" \
        --zip-file "fileb://$dist/telemetry-forwarder-$2.zip" \
        --compatible-architectures "$2" --compatible-runtimes $runtimes --license-info Apache-2.0 \
        --description "Exports Lambda's telemetry as OTLP, on every runtime" --query LayerVersionArn --output text
}

grant_to_all_accounts() {
    call lambda add-layer-version-permission --region "$1" --layer-name "$name-$2" --version-number "$3" \
        --statement-id public --action lambda:GetLayerVersion --principal '*' --query Statement --output text
}

# Split on purpose: the regions were checked above.
# shellcheck disable=SC2086
for region in $regions; do
    for arch in x86_64 arm64; do
        # Not inside the echo, where a failure would not end the script.
        arn=$(publish "$region" "$arch")
        version=VERSION
        [ -z "$run" ] || version=${arn##*:}
        if [ -n "$public" ]; then
            statement=$(grant_to_all_accounts "$region" "$arch" "$version")
            [ -n "$run" ] || arn="$arn
$statement"
        fi
        echo "$arn"
    done
done
[ -n "$run" ] || echo "This was a dry run: add --run to publish." >&2
