#!/bin/sh
# A Node.js function whose telemetry is exported as OTLP, deployed with nothing but the AWS CLI.
#
#   aws secretsmanager create-secret --name telemetry-forwarder/headers --secret-string 'authorization=Bearer …'
#   ./build.sh layer all && layer/publish.sh --run eu-west-1
#   AWS_REGION=eu-west-1 layer/examples/cli/deploy.sh
#
# The layer is the one in LAYER_ARN, or the one that publish.sh has published in the region. Run it again to update the
# function.
#
# The secret: its value is in a temporary file while this runs, and then in the function's environment, for all who may
# read its configuration.
set -eu

region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region)}}
endpoint=${ENDPOINT:-https://otlp.example.com}
secret=${HEADERS_SECRET:-telemetry-forwarder/headers}
arns=${ARNS:-$(dirname "$0")/../../dist/arns.json}
layer=${LAYER_ARN:-$(sed -n "s|^ *\"$region/arm64\": \"\(.*\)\".*|\1|p" "$arns")}
[ -n "$layer" ] || { echo "deploy.sh: $arns has no layer for $region: run layer/publish.sh --run $region" >&2 && exit 1; }
export AWS_REGION="$region"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Only for CloudWatch Logs; the extension needs no permission of its own.
role=$(aws iam get-role --role-name orders --query Role.Arn --output text 2>/dev/null) || {
    role=$(aws iam create-role --role-name orders --query Role.Arn --output text --assume-role-policy-document \
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
          "Principal": {"Service": "lambda.amazonaws.com"}}]}')
    # A new role takes some seconds to become usable.
    sleep "${ROLE_WAIT_S:-10}"
}
aws iam attach-role-policy --role-name orders \
    --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole

printf '%s\n' 'exports.handler = async (event) => { console.log("order", event); return "ok"; };' >"$work/index.js"
python3 -m zipfile -c "$work/function.zip" "$work/index.js"

# A file: on the command line, commas in the headers would separate values, and `ps` would show the secret.
headers=$(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output json)
printf '{"Variables": {"TELEMETRY_FORWARDER_ENDPOINT": "%s", "TELEMETRY_FORWARDER_HEADERS": %s}}\n' \
    "$endpoint" "$headers" >"$work/environment.json"

set -- --function-name orders --runtime nodejs22.x --handler index.handler --role "$role" --layers "$layer" \
    --environment "file://$work/environment.json" --query FunctionArn --output text
if aws lambda get-function --function-name orders >/dev/null 2>&1; then
    aws lambda update-function-code --function-name orders --architectures arm64 \
        --zip-file "fileb://$work/function.zip" >/dev/null
    aws lambda wait function-updated-v2 --function-name orders
    aws lambda update-function-configuration "$@"
else
    aws lambda create-function --architectures arm64 --zip-file "fileb://$work/function.zip" "$@"
fi
