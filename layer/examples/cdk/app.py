#!/usr/bin/env python3
"""A Node.js function whose telemetry is exported as OTLP, deployed with the AWS CDK.

aws secretsmanager create-secret --name telemetry-forwarder/headers --secret-string 'authorization=Bearer …'
./build.sh layer arm64 && cd layer/examples/cdk && pip install aws-cdk-lib && npx cdk deploy
"""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager

LAYER = Path(__file__).parents[2] / "dist" / "telemetry-forwarder-arm64.zip"


class OrdersStack(cdk.Stack):
    """The function, the layer, and the headers from their secret."""

    def __init__(self, scope: cdk.App) -> None:
        super().__init__(scope, "Orders")
        layer = lambda_.LayerVersion(
            self,
            "TelemetryForwarder",
            code=lambda_.Code.from_asset(str(LAYER)),
            compatible_architectures=[lambda_.Architecture.ARM_64],
            license="Apache-2.0",
        )
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
            layers=[layer],
            environment={
                "TELEMETRY_FORWARDER_ENDPOINT": "https://otlp.example.com",
                # The template contains a reference, which CloudFormation resolves when it deploys.
                "TELEMETRY_FORWARDER_HEADERS": headers.secret_value.unsafe_unwrap(),
            },
        )


if __name__ == "__main__":
    app = cdk.App()
    OrdersStack(app)
    app.synth()
