"""Checks the examples offline with the tools of each ecosystem; nothing reaches AWS.

The tools are large and only installed by `pip install '.[layer]'`; a test without its tool is skipped with that reason.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.layer_build import dist, needs
from tests.support.paths import LAYER

__all__ = ["dist"]

_EXAMPLES = LAYER / "examples"
_ENDPOINT = "https://otlp.example.com"
_HEADERS = "{{resolve:secretsmanager:telemetry-forwarder/headers}}"


def test_sam_template_has_no_findings() -> None:
    """cfn-lint runs SAM's translator and checks the result against CloudFormation's schemas."""
    cfn_lint = needs("cfnlint.api", "cfn-lint")

    template = (_EXAMPLES / "sam" / "template.yaml").read_text()

    assert [str(finding) for finding in cfn_lint.lint(template, regions=["eu-west-1"])] == []


def test_cdk_app_synthesizes_a_function_with_the_layer(tmp_path: Path, dist: Path) -> None:
    needs("aws_cdk", "aws-cdk-lib")
    if shutil.which("node") is None:
        pytest.skip("the CDK needs node")
    app = tmp_path / "layer/examples/cdk/app.py"
    app.parent.mkdir(parents=True)
    shutil.copy(_EXAMPLES / "cdk" / "app.py", app)
    dist.rename(tmp_path / "layer/dist")

    env = {**os.environ, "CDK_OUTDIR": str(tmp_path / "out"), "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1"}
    subprocess.run([sys.executable, str(app)], check=True, env=env)

    resources = json.loads((tmp_path / "out/Orders.template.json").read_text())["Resources"]
    by_type = {resource["Type"]: (name, resource["Properties"]) for name, resource in resources.items()}
    layer, _ = by_type["AWS::Lambda::LayerVersion"]
    _, function = by_type["AWS::Lambda::Function"]
    assert function["Layers"] == [{"Ref": layer}]
    variables = function["Environment"]["Variables"]
    assert variables["TELEMETRY_FORWARDER_ENDPOINT"] == _ENDPOINT
    # The name may be part of a join that adds the account and the region.
    assert "{{resolve:secretsmanager:" in json.dumps(variables["TELEMETRY_FORWARDER_HEADERS"])
    assert "telemetry-forwarder/headers" in json.dumps(variables["TELEMETRY_FORWARDER_HEADERS"])


def test_terraform_file_is_valid_and_refers_only_to_what_it_declares() -> None:
    """Terraform is not on PyPI: python-hcl2 parses the file, and the test resolves the references."""
    hcl2 = needs("hcl2", "python-hcl2")

    text = (_EXAMPLES / "terraform" / "main.tf").read_text()
    blocks = hcl2.loads(text)

    unquoted = re.sub(r"#.*", "", text)
    declared = {f"var.{_name(block)}" for block in blocks["variable"]}
    declared |= {f"local.{name}" for block in blocks["locals"] for name in block if not name.startswith("__")}
    declared |= {f"data.{kind}.{name}" for kind, name in _labels(blocks["data"])}
    declared |= {f"{kind}.{name}" for kind, name in _labels(blocks["resource"])}
    used = set(re.findall(r"\b(?:var|local)\.\w+|\bdata\.\w+\.\w+|(?<![.\w])aws_\w+\.\w+", unquoted))
    assert {kind for kind, _ in _labels(blocks["resource"])} >= {"aws_lambda_layer_version", "aws_lambda_function"}
    assert used <= declared
    assert {reference for reference in declared if not reference.startswith("aws_")} <= used


def _name(block: dict[str, Any]) -> str:
    return next(iter(block)).strip('"')


def _labels(blocks: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(_name(block), _name(next(iter(block.values())))) for block in blocks}


def test_serverless_file_matches_the_framework_s_schema() -> None:
    """Uses the parts of the framework's published schema that the example needs."""
    yaml = needs("yaml", "PyYAML")
    jsonschema = needs("jsonschema", "jsonschema")

    service = yaml.safe_load((_EXAMPLES / "serverless" / "serverless.yml").read_text())

    jsonschema.validate(service, _SERVERLESS)
    function = service["functions"]["orders"]
    assert function["environment"] == {
        "TELEMETRY_FORWARDER_ENDPOINT": _ENDPOINT,
        "TELEMETRY_FORWARDER_HEADERS": _HEADERS,
    }
    # The framework derives this name from the layer's key.
    [layer] = service["layers"]
    assert function["layers"] == [{"Ref": f"{layer[0].upper()}{layer[1:]}LambdaLayer"}]
    assert (_EXAMPLES / "serverless" / "index.js").exists()


_STRING = {"type": "string"}
_SERVERLESS = {
    "type": "object",
    "required": ["service", "provider", "functions"],
    "additionalProperties": False,
    "properties": {
        "service": {"type": "string", "pattern": "^[a-zA-Z][0-9a-zA-Z-]+$"},
        "frameworkVersion": _STRING,
        "provider": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "name": {"const": "aws"},
                "runtime": {"enum": ["nodejs20.x", "nodejs22.x", "nodejs24.x"]},
                "architecture": {"enum": ["arm64", "x86_64"]},
            },
        },
        "layers": {
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "maxLength": 140},
                    "package": {"type": "object", "required": ["artifact"], "additionalProperties": False,
                                "properties": {"artifact": _STRING}},
                    "compatibleArchitectures": {"type": "array", "items": {"enum": ["arm64", "x86_64"]}, "maxItems": 2},
                    "licenseInfo": {"type": "string", "maxLength": 512},
                },
            },
        },
        "functions": {
            "additionalProperties": {
                "type": "object",
                "required": ["handler"],
                "additionalProperties": False,
                "properties": {
                    "handler": _STRING,
                    "layers": {"type": "array", "maxItems": 5},
                    "environment": {"additionalProperties": _STRING},
                },
            },
        },
    },
}  # fmt: skip


def image_check(interpreter: str, loaders: str) -> subprocess.CompletedProcess[str]:
    """Run the last RUN of the Dockerfile with other paths, without a Docker daemon."""
    text = (LAYER / "Dockerfile").read_text().replace("\\\n", "")
    script = text.rpartition("\nRUN ")[2]
    script = script.replace("/opt/telemetry-forwarder/interpreter", interpreter)
    script = re.sub(r"for loader in [^;]*;", f"for loader in {loaders};", script)
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)


def test_image_with_glibc_passes_the_check() -> None:
    loaders = "/lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1"
    assert loaders in (LAYER / "Dockerfile").read_text()

    assert image_check("/bin/sh", loaders).returncode == 0


def test_image_without_glibc_fails_with_the_reason() -> None:
    done = image_check("/bin/sh", "/nowhere/ld-linux-x86-64.so.2")

    assert done.returncode == 1
    assert "needs glibc, and this base image has none (is it Alpine?)" in done.stderr
