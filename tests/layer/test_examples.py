"""Checks the examples offline with the tools of each ecosystem; nothing reaches AWS.

The tools are large: `./build.sh test` installs them when tests that use them are selected. In another environment, such
a test is skipped with that reason.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.layer_build import needs
from tests.support.npm_tools import npm_tool
from tests.support.paths import LAYER

_EXAMPLES = LAYER / "examples"
_ENDPOINT = "https://otlp.example.com"
_LAYER_ARN = "arn:aws:lambda:us-east-1:123456789012:layer:telemetry-forwarder-arm64:3"
_OTHER_ARN = "arn:aws:lambda:us-east-1:210987654321:layer:other:1"
_HEADERS = "{{resolve:secretsmanager:telemetry-forwarder/headers}}"


@pytest.mark.layer_checkers
def test_sam_template_has_no_findings() -> None:
    """cfn-lint runs SAM's translator, as `sam validate --lint` does, and checks the result against the schemas."""
    cfn_lint = needs("cfnlint.api", "cfn-lint")

    template = (_EXAMPLES / "sam" / "template.yaml").read_text()

    assert [str(finding) for finding in cfn_lint.lint(template, regions=["eu-west-1"])] == []


def example(name: str, tmp_path: Path) -> Path:
    """Copy the example, and write what publish.sh would have written; return the copy."""
    copy = shutil.copytree(_EXAMPLES / name, tmp_path / "layer" / "examples" / name)
    (tmp_path / "layer" / "dist").mkdir()
    (tmp_path / "layer" / "dist" / "arns.json").write_text(json.dumps({"us-east-1/arm64": _LAYER_ARN}))
    return copy


def run(tool: Path, *arguments: str, folder: Path, **env: str) -> None:
    """Run *tool* in *folder* with credentials that nobody accepts."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    nobody = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_EC2_METADATA_DISABLED": "true"}
    environ = {"PATH": path, "HOME": str(folder), **nobody, **env}
    done = subprocess.run([tool, *arguments], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def only_function(template: Path) -> Any:
    resources = json.loads(template.read_text())["Resources"].values()
    [function] = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::Lambda::Function"]
    return function


@pytest.mark.parametrize(
    ("arguments", "layer"), [((), _LAYER_ARN), (("-c", f"layer={_OTHER_ARN}"), _OTHER_ARN)], ids=["published", "given"]
)
@pytest.mark.layer_checkers
def test_cdk_synthesizes_a_function_with_the_layer(tmp_path: Path, arguments: tuple[str, ...], layer: str) -> None:
    needs("aws_cdk", "aws-cdk-lib")
    folder = example("cdk", tmp_path)

    synth = ("synth", "--quiet", "--no-notices", "--output", str(tmp_path / "out"), *arguments)
    run(npm_tool("cdk"), *synth, folder=folder, CDK_DEFAULT_REGION="us-east-1")

    function = only_function(tmp_path / "out" / "Orders.template.json")
    assert function["Layers"] == [layer]
    assert function["Architectures"] == ["arm64"]
    variables = function["Environment"]["Variables"]
    assert variables["TELEMETRY_FORWARDER_ENDPOINT"] == _ENDPOINT
    # The name is part of a join that adds the account and the region.
    assert "{{resolve:secretsmanager:" in json.dumps(variables["TELEMETRY_FORWARDER_HEADERS"])
    assert "telemetry-forwarder/headers" in json.dumps(variables["TELEMETRY_FORWARDER_HEADERS"])


@pytest.mark.parametrize(("given", "layer"), [({}, _LAYER_ARN), ({"LAYER_ARN": _OTHER_ARN}, _OTHER_ARN)])
def test_serverless_packages_a_function_with_the_layer(tmp_path: Path, given: dict[str, str], layer: str) -> None:
    folder = example("serverless", tmp_path)

    package = ("package", "--region", "us-east-1", "--package", str(tmp_path / "out"))
    run(npm_tool("osls"), *package, folder=folder, **given)

    function = only_function(tmp_path / "out" / "cloudformation-template-update-stack.json")
    assert function["Layers"] == [layer]
    assert function["Architectures"] == ["arm64"]
    assert function["Environment"]["Variables"] == {
        "TELEMETRY_FORWARDER_ENDPOINT": _ENDPOINT,
        "TELEMETRY_FORWARDER_HEADERS": _HEADERS,
    }
    with zipfile.ZipFile(tmp_path / "out" / "orders.zip") as code:
        assert code.namelist() == ["index.js"]


def test_terraform_file_is_formatted() -> None:
    """`terraform validate` needs the providers, which no package index has."""
    terraform = shutil.which("terraform")
    if terraform is None:
        pytest.skip("NOT TESTED with terraform: it is not installed, and no package index has it")

    run(Path(terraform), "fmt", "-check", folder=_EXAMPLES / "terraform")


@pytest.mark.layer_checkers
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
    assert ("aws_lambda_function", "orders") in _labels(blocks["resource"])
    assert used <= declared
    assert {reference for reference in declared if not reference.startswith("aws_")} <= used


def _name(block: dict[str, Any]) -> str:
    return next(iter(block)).strip('"')


def _labels(blocks: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(_name(block), _name(next(iter(block.values())))) for block in blocks}


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


def test_container_example_starts_from_the_layer_and_any_base() -> None:
    stages = re.findall(r"^FROM (.*)$", (_EXAMPLES / "image" / "Dockerfile").read_text(), re.MULTILINE)

    assert stages == ["telemetry-forwarder AS layer", "${BASE}"]
    assert "FROM scratch AS layer\n" in (LAYER / "Dockerfile").read_text()
    assert (_EXAMPLES / "image" / "index.js").exists()


@pytest.mark.parametrize("name", ["cdk/app.py", "cli/deploy.sh", "image/Dockerfile", "sam/template.yaml",
                                  "serverless/serverless.yml", "terraform/main.tf"])  # fmt: skip
def test_example_says_where_the_headers_come_to_lie(name: str) -> None:
    text = (_EXAMPLES / name).read_text()

    assert "The secret: " in text or "Push the image, and set TELEMETRY_FORWARDER_" in text
    assert sorted(path.name for path in _EXAMPLES.iterdir()) == [
        "cdk",
        "cli",
        "image",
        "sam",
        "serverless",
        "terraform",
    ]
