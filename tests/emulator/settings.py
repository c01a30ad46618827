"""The configuration of a function and the behaviour of the emulated Lambda."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Report = Literal["next", "shutdown-window", "never", "late"]
Cut = Literal["by-size", "within", "across"]

MANAGED = "lambda-managed-instances"
SNAP_START = "snap-start"

REGION = "eu-west-1"
ACCOUNT_ID = "111122223333"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One function's configuration and the faults to inject."""

    # The function.
    opt: Path
    task: Path
    handler: str = "app.handler"
    bootstrap: Sequence[str] | None = None
    env: dict[str, str] = field(default_factory=dict)
    name: str = "orders"
    version: str = "$LATEST"
    memory_mb: int = 128
    timeout_s: float = 3.0
    initialization_type: str = "on-demand"
    max_concurrency: int = 1
    log_format: Literal["Text", "JSON"] | None = None
    log_level: str | None = None
    extension_cwd: Path | None = None
    extension_user: int | None = None
    """The user and group id of the extensions, to be set by root only; None for those of this process."""

    # Lambda's deadlines. See `deadlines` for machines that are busy.
    init_timeout_s: float = 10.0
    shutdown_s: float = 2.0
    runtime_shutdown_s: float = 0.6

    # The Telemetry API.
    telemetry: Literal["standard", "unsupported"] = "standard"
    newest_schema: bool = True
    report: Report = "next"
    report_delay_s: float = 0.02
    cut: Cut | None = None
    cut_bytes: int = 262_144
    backlog_bytes: int = 8 * 1024 * 1024
    redelivery_first_s: float = 0.05
    redelivery_most_s: float = 1.0
    post_timeout_s: float = 5.0
    redeliver_every: int = 0
    observer_port: int = 0
    """Also send telemetry to this HTTP port of the machine, as Lambda does to its own log service."""

    # Resources.
    freeze: bool | Literal["signals"] = False
    """Freeze the processes between invocations; "signals" uses SIGSTOP even if a freezer is available."""
    cpu_share: bool = False
    memory_limit: bool = False
    snapshot_age_s: float = 3600.0

    # Keep all observations, not only their counts and what extensions print.
    remember: bool = True

    @property
    def is_managed(self) -> bool:
        return self.initialization_type == MANAGED

    @property
    def is_json(self) -> bool:
        """Whether records are JSON, as they always are on managed instances."""
        return self.log_format == "JSON" or (self.log_format is None and self.is_managed)

    @property
    def arn(self) -> str:
        base = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.name}"
        return base if self.version == "$LATEST" else f"{base}:{self.version}"

    def extension_files(self) -> list[Path]:
        """Return every entry of opt/extensions that is no folder, as Lambda does."""
        folder = self.opt / "extensions"
        return sorted(p for p in folder.iterdir() if not p.is_dir()) if folder.is_dir() else []

    def extension_variables(self, runtime_api: str, tmp: Path, metadata_token: str) -> dict[str, str]:
        """Return the environment of an extension: the defaults it may see, then all customer variables."""
        variables = {
            **self._common_variables(runtime_api, tmp),
            "AWS_LAMBDA_METADATA_API": runtime_api,
            "AWS_LAMBDA_METADATA_TOKEN": metadata_token,
        }
        if self.log_format is not None:
            variables["AWS_LAMBDA_LOG_FORMAT"] = self.log_format
        if self.log_level is not None:
            variables["AWS_LAMBDA_LOG_LEVEL"] = self.log_level
        return variables | self.env

    def runtime_variables(self, runtime_api: str, tmp: Path) -> dict[str, str]:
        """Return the environment of the function's runtime."""
        variables = {
            **self._common_variables(runtime_api, tmp),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/09/22/[{self.version}]{secrets.token_hex(16)}",
            "AWS_LAMBDA_LOG_FORMAT": "JSON" if self.is_json else "Text",
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
            "LAMBDA_TASK_ROOT": str(self.task.resolve()),
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "_HANDLER": self.handler,
        }
        if self.bootstrap is None:
            variables["AWS_EXECUTION_ENV"] = f"AWS_Lambda_python{python_version()}"
        if self.log_level is not None:
            variables["AWS_LAMBDA_LOG_LEVEL"] = self.log_level
        if self.is_managed:
            variables["AWS_LAMBDA_MAX_CONCURRENCY"] = str(self.max_concurrency)
        return variables | self.env

    def _common_variables(self, runtime_api: str, tmp: Path) -> dict[str, str]:
        opt, task = self.opt.resolve(), self.task.resolve()
        variables = {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": self.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            "AWS_LAMBDA_INITIALIZATION_TYPE": self.initialization_type,
            "AWS_LAMBDA_RUNTIME_API": runtime_api,
            "PATH": f"/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:{opt}/bin",
            "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib"
            f":{task}:{task}/lib:{opt}/lib",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "HOME": "/home/sbx_user1051",
            "TMPDIR": str(tmp),
        }
        if self.initialization_type == SNAP_START:
            return variables | {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{runtime_api}/2021-04-23/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "emulated-token",
            }
        return variables | {
            "AWS_ACCESS_KEY_ID": "ASIAEMULATED",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_SESSION_TOKEN": "emulated",
        }


def python_version() -> str:
    """Return the runtime's version in Lambda's form, e.g. ``3.11``."""
    return ".".join(platform.python_version_tuple()[:2])
