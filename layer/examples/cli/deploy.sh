#!/bin/sh
# A Node.js function whose telemetry is exported as OTLP, deployed with nothing but the AWS CLI.
#
#   aws secretsmanager create-secret --name telemetry-forwarder/headers --secret-string 'authorization=Bearer …'
#   ./build.sh layer arm64 && layer/examples/cli/deploy.sh
#
# The region and the credentials are those of your AWS CLI.
set -eu

endpoint=${ENDPOINT:-https://otlp.example.com}
secret=${HEADERS_SECRET:-telemetry-forwarder/headers}
zip=${LAYER_ZIP:-$(dirname "$0")/../../dist/telemetry-forwarder-arm64.zip}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

layer=$(aws lambda publish-layer-version --layer-name telemetry-forwarder-arm64 --zip-file "fileb://$zip" \
    --compatible-architectures arm64 --license-info Apache-2.0 --query LayerVersionArn --output text)

# Only for CloudWatch Logs; the extension needs no permission of its own.
role=$(aws iam create-role --role-name orders --query Role.Arn --output text --assume-role-policy-document \
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
      "Principal": {"Service": "lambda.amazonaws.com"}}]}')
aws iam attach-role-policy --role-name orders \
    --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
# A new role takes some seconds to become usable.
sleep "${ROLE_WAIT_S:-10}"

printf '%s\n' 'exports.handler = async (event) => { console.log("order", event); return "ok"; };' >"$work/index.js"
python3 -m zipfile -c "$work/function.zip" "$work/index.js"

# A file: on the command line, commas in the headers would separate values, and `ps` would show the secret.
headers=$(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output json)
printf '{"Variables": {"TELEMETRY_FORWARDER_ENDPOINT": "%s", "TELEMETRY_FORWARDER_HEADERS": %s}}\n' \
    "$endpoint" "$headers" >"$work/environment.json"

aws lambda create-function --function-name orders --runtime nodejs22.x --architectures arm64 \
    --handler index.handler --role "$role" --zip-file "fileb://$work/function.zip" --layers "$layer" \
    --environment "file://$work/environment.json" --query FunctionArn --output text
