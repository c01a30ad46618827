# A Node.js function whose telemetry is exported as OTLP, deployed with Terraform.
#
#   aws secretsmanager create-secret --name telemetry-forwarder/headers --secret-string 'authorization=Bearer …'
#   ./build.sh layer all && layer/publish.sh --run eu-west-1
#   cd layer/examples/terraform && terraform init && AWS_REGION=eu-west-1 terraform apply
#
# The secret: its value is in Terraform's state, so keep that encrypted and closed to others, and in the function's
# environment, for all who may read its configuration. Apply again after the secret has changed.

terraform {
  required_version = ">= 1.5"
  required_providers {
    archive = { source = "hashicorp/archive", version = "~> 2.4" }
    aws     = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "layer_arn" {
  description = "The layer for arm64; by default the one that layer/publish.sh has published in the region."
  type        = string
  default     = null
}

variable "endpoint" {
  description = "OTLP/HTTP base URL; /v1/logs, /v1/traces and /v1/metrics are appended."
  type        = string
  default     = "https://otlp.example.com"
}

variable "headers_secret" {
  description = "Name of the secret with the request headers, as key=value,key=value."
  type        = string
  default     = "telemetry-forwarder/headers"
}

locals {
  arns      = "${path.module}/../../dist/arns.json"
  layer_arn = var.layer_arn != null ? var.layer_arn : jsondecode(file(local.arns))["${data.aws_region.current.id}/arm64"]
}

data "aws_region" "current" {}

data "aws_secretsmanager_secret_version" "headers" {
  secret_id = var.headers_secret
}

data "archive_file" "orders" {
  type                    = "zip"
  output_path             = "${path.module}/orders.zip"
  source_content_filename = "index.js"
  source_content          = "exports.handler = async (event) => { console.log('order', event); return 'ok'; };"
}

resource "aws_iam_role" "orders" {
  name = "orders"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

# Only for CloudWatch Logs; the extension needs no permission of its own.
resource "aws_iam_role_policy_attachment" "orders" {
  role       = aws_iam_role.orders.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "orders" {
  function_name    = "orders"
  role             = aws_iam_role.orders.arn
  runtime          = "nodejs22.x"
  architectures    = ["arm64"]
  handler          = "index.handler"
  filename         = data.archive_file.orders.output_path
  source_code_hash = data.archive_file.orders.output_base64sha256
  layers           = [local.layer_arn]

  environment {
    variables = {
      TELEMETRY_FORWARDER_ENDPOINT = var.endpoint
      TELEMETRY_FORWARDER_HEADERS  = data.aws_secretsmanager_secret_version.headers.secret_string
    }
  }
}
