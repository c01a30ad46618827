#!/bin/sh
# Publishes the layers of both architectures to the given regions with the AWS CLI, and lists their ARNs.
#
#   ./build.sh layer all
#   layer/publish.sh eu-west-1 us-east-1               # dry run: prints the commands
#   layer/publish.sh --run eu-west-1 us-east-1         # publishes, for your own account
#   layer/publish.sh --run --public eu-west-1          # publishes, for all accounts
#   layer/publish.sh --run --organization-id o-example eu-west-1    # publishes, for the accounts of an organization
#
# After a failure, run it again: a layer whose newest version is the same file is not published a second time.
# The ARNs are added to DIST/arns.json, which the examples read.
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
organization=
while [ $# -gt 0 ]; do
    case $1 in
        --run) run=yes ;;
        --public) public=yes ;;
        --organization-id) organization=${2:?"--organization-id needs a value"} && shift ;;
        --name) name=${2:?"--name needs a value"} && shift ;;
        --dist) dist=${2:?"--dist needs a value"} && shift ;;
        -h | --help) usage && exit 0 ;;
        -*) echo "publish.sh: no such option: $1" >&2 && usage >&2 && exit 2 ;;
        *[!a-z0-9-]*) echo "publish.sh: not a region: $1" >&2 && exit 2 ;;
        *) regions="$regions $1" ;;
    esac
    shift
done
[ -z "$public" ] || [ -z "$organization" ] ||
    { echo "publish.sh: --public and --organization-id exclude each other" >&2 && exit 2; }
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

# Allows the others to use version $3; it may be allowed already.
grant() {
    [ -n "$public$organization" ] || return 0
    set -- "$@" --statement-id "${organization:-public}" --action lambda:GetLayerVersion --principal '*'
    [ -z "$organization" ] || set -- "$@" --organization-id "$organization"
    region=$1 layer=$name-$2 version=$3
    shift 3
    reason=$(call lambda add-layer-version-permission --region "$region" --layer-name "$layer" \
        --version-number "$version" "$@" --query Statement --output text 2>&1) || {
        case $reason in
            *ResourceConflictException*) return 0 ;;
        esac
        echo "$reason" >&2
        return 1
    }
    [ -n "$run" ] || echo "$reason"
}

# Prints the ARN of the newest version if it is the same file.
find_published() {
    newest=$(aws lambda list-layer-versions --region "$1" --layer-name "$name-$2" --no-paginate \
        --query 'max_by(LayerVersions, &Version).[Version, LayerVersionArn]' --output text 2>/dev/null) || return 0
    version=${newest%%[!0-9]*}
    [ -n "$version" ] || return 0
    sha256=$(aws lambda get-layer-version --region "$1" --layer-name "$name-$2" --version-number "$version" \
        --query Content.CodeSha256 --output text 2>/dev/null) || return 0
    own='import base64, hashlib, sys; print(base64.b64encode(hashlib.sha256(open(sys.argv[1], "rb").read()).digest()).decode())'
    [ "$sha256" != "$(python3 -c "$own" "$dist/telemetry-forwarder-$2.zip")" ] || echo "${newest##*[!a-zA-Z0-9:_-]}"
}

# Sets $arn. Not in a subshell's `if`, where `set -e` has no effect: each step says what follows from its failure.
publish_once() {
    arn=$(find_published "$1" "$2")
    result="already published"
    if [ -z "$arn" ]; then
        arn=$(publish "$1" "$2") || return 1
        result=published
    fi
    grant "$1" "$2" "${arn##*:}" || return 1
    write_arn "$1/$2" "$arn"
}

# Sets $1 to $2 in the file of the ARNs: JSON with one key a line.
write_arn() {
    [ -f "$arns" ] || echo >"$arns"
    entries=$({
        sed -n "\\|^  \"$1\":|d; s/,\$//; /^  \"/p" "$arns"
        printf '  "%s": "%s"\n' "$1" "$2"
    } | sort)
    printf '{\n%s\n}\n' "$(printf '%s\n' "$entries" | sed '$!s/$/,/')" >"$arns.new"
    mv "$arns.new" "$arns"
}

# Split on purpose, here and below: the regions were checked above.
# shellcheck disable=SC2086
set -- $regions
if [ -z "$run" ]; then
    for region; do
        for arch in x86_64 arm64; do
            publish "$region" "$arch"
            grant "$region" "$arch" VERSION
        done
    done
    echo "This was a dry run: add --run to publish." >&2
    exit 0
fi

arns=$dist/arns.json
total=$(($# * 2))
number=0
failed=
table=
for region; do
    for arch in x86_64 arm64; do
        number=$((number + 1))
        printf '[%s/%s] %s %s: ' "$number" "$total" "$region" "$arch" >&2
        if publish_once "$region" "$arch"; then
            echo "$result" >&2
            table="$table$(printf '%-15s %-7s %s' "$region" "$arch" "$arn")
"
        else
            echo "FAILED" >&2
            failed="$failed $region/$arch"
        fi
    done
done
printf %s "$table"
[ -z "$failed" ] || { echo "publish.sh: not published:$failed; run the same command again for these" >&2 && exit 1; }
