#!/usr/bin/env python3
"""A Node.js function whose telemetry is exported as OTLP, deployed with the AWS CDK.

aws secretsmanager create-secret --name telemetry-forwarder/headers --secret-string 'authorization=Bearer …'
./build.sh layer all && layer/publish.sh --run eu-west-1
cd layer/examples/cdk && pip install aws-cdk-lib && npx cdk deploy

Where the CDK has not deployed anything yet, run `npx cdk bootstrap` first.

The layer is the one of `npx cdk deploy -c layer=ARN`, or the one that publish.sh has published in the region.

The secret: CloudFormation resolves the reference when it deploys, so the value is in no template, but in the function's
environment, for all who may read its configuration. Deploy again after the secret has changed.
"""

import json
import os
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager

ARNS = Path(__file__).parents[2] / "dist" / "arns.json"


class OrdersStack(cdk.Stack):
    """The function with the layer, and the headers from their secret."""

    def __init__(self, app: cdk.App, layer_arn: str) -> None:
        super().__init__(app, "Orders")
        headers = secretsmanager.Secret.from_secret_name_v2(self, "Headers", "telemetry-forwarder/headers")
        lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.NODEJS_22_X,
            architecture=lambda_.Architecture.ARM_64,
            handler="index.handler",
            code=lambda_.Code.from_inline(
                'exports.handler = async (event) => { console.log("order", event); return "ok"; };'
            ),
            layers=[lambda_.LayerVersion.from_layer_version_arn(self, "TelemetryForwarder", layer_arn)],
            environment={
                "TELEMETRY_FORWARDER_ENDPOINT": "https://otlp.example.com",
                "TELEMETRY_FORWARDER_HEADERS": headers.secret_value.unsafe_unwrap(),
            },
        )


if __name__ == "__main__":
    app = cdk.App()
    # The CDK's command sets the variable.
    published = f"{os.environ.get('CDK_DEFAULT_REGION')}/arm64"
    OrdersStack(app, app.node.try_get_context("layer") or json.loads(ARNS.read_text())[published])
    app.synth()
