"""Runs publish.sh and the example for the AWS CLI against moto; nothing reaches AWS."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, shell_lines
from tests.support.layer_build import dist, needs
from tests.support.paths import LAYER

__all__ = ["dist"]

_EXAMPLES = LAYER / "examples"
_SCRIPTS = [LAYER / "publish.sh", _EXAMPLES / "cli" / "deploy.sh"]


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda script: script.name)
def test_script_is_posix_shell(script: Path) -> None:
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
    assert os.access(script, os.X_OK)


def publish(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(LAYER / "publish.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env or {"PATH": os.environ["PATH"]})


def test_default_is_a_dry_run(dist: Path) -> None:
    done = publish("--dist", str(dist), "--public", "eu-west-1", "us-east-1", env={"PATH": "/usr/bin:/bin"})

    commands = [re.sub(r" --(zip|compatible).*", "", line) for line in done.stdout.splitlines()]
    assert commands == [
        f"aws lambda {command} --region {region} --layer-name telemetry-forwarder-{arch}{more}"
        for region in ("eu-west-1", "us-east-1")
        for arch in ("x86_64", "arm64")
        for command, more in (
            ("publish-layer-version", ""),
            (
                "add-layer-version-permission",
                " --version-number VERSION --statement-id public --action lambda:GetLayerVersion"
                " --principal '*' --query Statement --output text",
            ),
        )
    ]
    assert done.stderr == "This was a dry run: add --run to publish.\n"
    assert done.returncode == 0


def test_dry_run_prints_commands_that_a_shell_reads_as_they_were_meant(dist: Path) -> None:
    folder = dist.rename(dist.with_name("it's $HOME here"))

    done = publish("--dist", str(folder), "--public", "eu-west-1")

    for line in done.stdout.splitlines():
        aws, *_ = words = shlex.split(line)
        as_run = subprocess.run(
            ["sh", "-c", f"{aws}() {{ printf '%s\\0' {aws} \"$@\"; }}; {line}"], capture_output=True
        )
        assert as_run.stdout.decode().split("\0")[:-1] == words
    publication, permission = [shlex.split(line) for line in done.stdout.splitlines()[:2]]
    assert f"fileb://{folder}/telemetry-forwarder-x86_64.zip" in publication
    assert "Exports Lambda's telemetry as OTLP, on every runtime" in publication
    assert permission[permission.index("--principal") + 1] == "*"


def listed_runtimes(dist: Path) -> list[str]:
    printed = publish("--dist", str(dist), "eu-west-1").stdout
    [runtimes] = {match[1] for match in re.finditer(r"--compatible-runtimes ([^-]*)", printed)}
    return runtimes.split()


def test_at_most_fifteen_runtimes_are_listed(dist: Path) -> None:
    assert len(set(listed_runtimes(dist))) == 15


@pytest.mark.layer_checkers
def test_listed_runtimes_are_those_that_lambda_accepts_and_supports(dist: Path) -> None:
    session = needs("botocore.session", "awscli").Session()

    accepted: set[str] = set(session.get_service_model("lambda").shape_for("Runtime").enum)

    listed = listed_runtimes(dist)
    assert set(listed) <= accepted
    # Deprecated, or without support by their operating system: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
    assert set(listed).isdisjoint({"provided.al2", "nodejs20.x", "python3.10", "dotnet8", "ruby3.2"})
    assert set(listed) >= {"nodejs26.x", "python3.15", "java25", "dotnet10", "ruby4.0", "provided.al2023"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name at least one region"),
        (("--everywhere", "eu-west-1"), "no such option: --everywhere"),
        (("--public", "--organization-id", "o-example", "eu-west-1"), "exclude each other"),
        (("eu-west-1; true",), "not a region"),
        (("--dist", "/nowhere", "eu-west-1"), "run ./build.sh layer all"),
    ],
)
def test_invalid_command_line_publishes_nothing(arguments: tuple[str, ...], complaint: str) -> None:
    done = publish("--run", *arguments)

    assert done.returncode != 0
    assert complaint in done.stderr
    assert done.stdout == ""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Start moto on a loopback port; return the environment with which the AWS CLI uses it."""
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    server = needs("moto.server", "moto[server]")
    serving = needs("werkzeug.serving", "moto[server]")
    if shutil.which("aws", path=_search_path()) is None:
        pytest.skip("the AWS CLI is not installed: ./build.sh install layer")
    local_server = serving.make_server("127.0.0.1", 0, server.DomainDispatcherApplication(server.create_backend_app))
    thread = threading.Thread(target=local_server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{local_server.server_port}"
    # The state of moto belongs to the process and outlives the server.
    urllib.request.urlopen(f"{url}/moto-api/reset", data=b"").close()
    yield {
        "PATH": _search_path(),
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "ROLE_WAIT_S": "0",
    }
    local_server.shutdown()
    thread.join()
    local_server.server_close()


def _search_path() -> str:
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def aws_cli(aws: dict[str, str], *arguments: str) -> Any:
    command = ["aws", *arguments, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=aws)
    return json.loads(done.stdout) if done.stdout else None


def arns(dist: Path) -> Any:
    return json.loads((dist / "arns.json").read_text())


@pytest.mark.layer_checkers
def test_same_file_is_published_once_and_another_one_as_the_next_version(aws: dict[str, str], dist: Path) -> None:
    arguments = ("--run", "--public", "--dist", str(dist), "eu-west-1")
    first = publish(*arguments, env=aws)
    with zipfile.ZipFile(dist / "telemetry-forwarder-arm64.zip", "a") as zipped:
        zipped.writestr("new", "")
    second = publish(*arguments, env=aws)

    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:telemetry-forwarder-"
    assert first.stderr.splitlines() == ["[1/2] eu-west-1 x86_64: published", "[2/2] eu-west-1 arm64: published"]
    assert second.stderr.splitlines() == [
        "[1/2] eu-west-1 x86_64: already published",
        "[2/2] eu-west-1 arm64: published",
    ]
    assert (first.returncode, second.returncode) == (0, 0)
    assert [line.split() for line in second.stdout.splitlines()] == [
        ["eu-west-1", "x86_64", f"{arn}x86_64:1"],
        ["eu-west-1", "arm64", f"{arn}arm64:2"],
    ]
    assert arns(dist) == {"eu-west-1/arm64": f"{arn}arm64:2", "eu-west-1/x86_64": f"{arn}x86_64:1"}
    layers = aws_cli(aws, "lambda", "list-layers", "--region", "eu-west-1")["Layers"]
    [arm64] = [layer for layer in layers if layer["LayerName"] == "telemetry-forwarder-arm64"]
    assert arm64["LatestMatchingVersion"]["CompatibleArchitectures"] == ["arm64"]
    assert len(arm64["LatestMatchingVersion"]["CompatibleRuntimes"]) == 15


@pytest.fixture
def fake_aws(tmp_path: Path) -> Path:
    """Create an `aws` that knows no layer, and fails in one region, as in one that the account has not enabled."""
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text(
        """#!/bin/sh
case $* in
*af-south-1*) [ -f "$0.enabled" ] || { echo "not enabled" >&2; exit 254; } ;;
esac
case $2 in
publish-layer-version) echo "arn:aws:lambda:$4:123456789012:layer:$6:1" ;;
add-layer-version-permission) echo "ResourceConflictException: it exists" >&2 && exit 254 ;;
*) echo None ;;
esac
"""
    )
    aws.chmod(0o755)
    return aws


def test_failed_region_does_not_stop_the_others_and_the_next_run_adds_it(dist: Path, fake_aws: Path) -> None:
    env = {"PATH": f"{fake_aws.parent}:{os.environ['PATH']}"}
    arguments = ("--run", "--public", "--name", "mine", "--dist", str(dist), "af-south-1", "eu-west-1")

    failed = publish(*arguments, env=env)
    before = arns(dist)
    Path(f"{fake_aws}.enabled").touch()
    again = publish(*arguments, env=env)

    assert failed.returncode == 1
    assert [line.split()[:2] for line in failed.stdout.splitlines()] == [
        ["eu-west-1", "x86_64"],
        ["eu-west-1", "arm64"],
    ]
    first, *_, last = failed.stderr.splitlines()
    assert first == "[1/4] af-south-1 x86_64: not enabled"
    assert last == "publish.sh: not published: af-south-1/x86_64 af-south-1/arm64; run the same command again for these"
    assert sorted(before) == ["eu-west-1/arm64", "eu-west-1/x86_64"]
    assert again.returncode == 0
    assert arns(dist) == {
        f"{region}/{arch}": f"arn:aws:lambda:{region}:123456789012:layer:mine-{arch}:1"
        for region in ("af-south-1", "eu-west-1")
        for arch in ("arm64", "x86_64")
    }


def test_layer_is_opened_to_an_organization(dist: Path) -> None:
    shown = publish("--organization-id", "o-example", "--dist", str(dist), "eu-west-1")

    grants = [shlex.split(line) for line in shown.stdout.splitlines() if "add-layer-version-permission" in line]
    assert [words[words.index("--statement-id") :] for words in grants] == [
        ["--statement-id", "o-example", "--action", "lambda:GetLayerVersion", "--principal", "*",
         "--organization-id", "o-example", "--query", "Statement", "--output", "text"],
    ] * 2  # fmt: skip


@pytest.mark.layer_checkers
def test_cli_example_deploys_a_function_and_updates_it_when_run_again(aws: dict[str, str], dist: Path) -> None:
    name, headers = "telemetry-forwarder/headers", 'authorization=Bearer "x",tenant=a'
    aws_cli(aws, "secretsmanager", "create-secret", "--name", name, "--secret-string", headers)
    layers = [
        aws_cli(aws, "lambda", "publish-layer-version", "--layer-name", "a", "--zip-file", f"fileb://{zipped}")
        for zipped in sorted(dist.glob("*.zip"))
    ]
    first, second = [layer["LayerVersionArn"] for layer in layers]
    (dist / "arns.json").write_text(json.dumps({"eu-west-1/arm64": first}, indent=2))

    deployed = deploy({**aws, "ARNS": str(dist / "arns.json")})
    updated = deploy({**aws, "LAYER_ARN": second, "ENDPOINT": "https://other.example.com"})

    for done in (deployed, updated):
        assert (done.stderr, done.stdout) == ("", "arn:aws:lambda:eu-west-1:123456789012:function:orders\n")
    function = aws_cli(aws, "lambda", "get-function-configuration", "--function-name", "orders")
    assert function["Environment"]["Variables"] == {
        "TELEMETRY_FORWARDER_ENDPOINT": "https://other.example.com",
        "TELEMETRY_FORWARDER_HEADERS": headers,
    }
    assert [layer["Arn"] for layer in function["Layers"]] == [second]
    assert function["Architectures"] == ["arm64"]


def deploy(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = str(_EXAMPLES / "cli" / "deploy.sh")
    return subprocess.run(["sh", script], capture_output=True, text=True, check=False, env=env)


def test_cli_example_says_that_the_layer_is_not_published(dist: Path) -> None:
    (dist / "arns.json").write_text(json.dumps({"eu-west-1/x86_64": "arn"}, indent=2))

    done = deploy({"PATH": "/usr/bin:/bin", "AWS_REGION": "eu-west-1", "ARNS": str(dist / "arns.json")})

    reason = f"deploy.sh: {dist}/arns.json has no layer for eu-west-1: run layer/publish.sh --run eu-west-1\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", reason)


def documented(page: str, beginning: str, **values: str) -> list[str]:
    """Return the command of *page* that begins so, with *values* in the place of its placeholders."""
    [line] = [line for line in shell_lines(DOCS / page) if line.startswith(f"aws {beginning}")]
    return [values.get(word, word) for word in shlex.split(line)][1:]


@pytest.mark.layer_checkers
def test_commands_of_the_documentation_work(aws: dict[str, str], dist: Path) -> None:
    name = "telemetry-forwarder-arm64"
    published = aws_cli(aws, "lambda", "publish-layer-version", "--layer-name", name,
                        "--zip-file", f"fileb://{dist / name}.zip")  # fmt: skip
    aws_cli(aws, *documented("install.md", "secretsmanager create-secret"))
    deploy({**aws, "LAYER_ARN": published["LayerVersionArn"]})

    layers, variables = aws_cli(aws, *documented("install.md", "lambda get-function-configuration", NAME="orders"))
    users = aws_cli(aws, *documented("operations.md", "lambda list-functions"))
    aws_cli(aws, *documented("install.md", "lambda update-function-configuration", NAME="orders"))
    aws_cli(aws, *documented("install.md", "lambda delete-layer-version", N="1"))

    assert layers == [published["LayerVersionArn"]]
    assert set(variables) == {"TELEMETRY_FORWARDER_ENDPOINT", "TELEMETRY_FORWARDER_HEADERS"}
    assert users == [["orders", [published["LayerVersionArn"]]]]
    assert aws_cli(aws, *documented("operations.md", "lambda list-functions")) == []
    assert aws_cli(aws, "lambda", "list-layer-versions", "--layer-name", name)["LayerVersions"] == []
