"""Commands, files and modules that the documentation names exist."""

import re
from collections.abc import Iterable

import pytest

from tests.docs.command_runs import NOT_RUN, RUN_BY
from tests.docs.commands import problems
from tests.docs.pages import PAGES, code_spans, shell_lines
from tests.support.paths import PRODUCT, PROJECT

_FOLDERS = ("tests", "layer", "telemetry_forwarder", "docs", "extension", ".github")
_PATH = re.compile(rf"(?:{'|'.join(map(re.escape, _FOLDERS))})/[\w./-]+")
# The output of a build.
_MADE = "layer/dist"
_PACKAGES = {path.parent.name for path in PRODUCT.glob("*/__init__.py")}
_MODULE = re.compile(r"(\w+)\.(\w+)(?:\.(\w+))?")

_SPANS = {span for page in PAGES for span in code_spans(page)}
_RUN = re.compile(r"^(?:\./build\.sh|layer/|.*python3? )")
_COMMANDS = {line for page in PAGES for line in shell_lines(page)} | set(filter(_RUN.match, _SPANS))


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_command_exists_with_its_options(command: str) -> None:
    assert problems(command) == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("./build.sh release", "./build.sh has no ['release']"),
        ("./build.sh layer all --without-grpc", "layer/build.py has no option --without-grpc"),
        ("python -m tests.chaos --all", "tests/chaos/__main__.py has no option --all"),
        ("./build.sh bench speed", "there is no benchmark speed"),
        ("python -m tests.absent", "there is no module tests.absent"),
        ("layer/absent.sh eu-west-1", "there is no layer/absent.sh"),
    ],
)
def test_command_that_does_not_exist_is_a_problem(command: str, problem: str) -> None:
    assert problems(command) == [problem]


# Those of other tools as well: everything that a reader may copy.
_COPIED = {command for command in _COMMANDS if re.match(r"[^-]\S* ", command)} | {
    span for span in _SPANS if re.match(r"(?:aws|docker|npx|sam|terraform) (?!run$)", span)
}


def _beginning(command: str, beginnings: Iterable[str]) -> str | None:
    return max((start for start in beginnings if command.startswith(start)), key=len, default=None)


@pytest.mark.parametrize("command", sorted(_COPIED))
def test_command_is_run_by_a_test_or_has_a_reason_why_not(command: str) -> None:
    assert _beginning(command, [*RUN_BY, *NOT_RUN])


def test_lists_of_commands_have_no_row_too_many() -> None:
    used = {_beginning(command, [*RUN_BY, *NOT_RUN]) for command in _COPIED}

    assert sorted({*RUN_BY, *NOT_RUN} - used) == []
    assert RUN_BY.keys().isdisjoint(NOT_RUN)


@pytest.mark.parametrize("test", sorted(set(RUN_BY.values())))
def test_test_that_runs_a_command_exists(test: str) -> None:
    path, _, name = test.partition("::")

    assert (PROJECT / path).is_file()
    assert not name or f"\ndef {name}(" in (PROJECT / path).read_text()


def test_paths_exist() -> None:
    named = {path for span in _SPANS if (match := _PATH.fullmatch(span)) and (path := match[0])}

    missing = {path for path in named if not path.startswith(_MADE) and not (PROJECT / path).exists()}

    assert len(named) > 20
    assert missing == set()


def test_modules_of_our_packages_exist_and_have_what_is_named() -> None:
    matches = [match for span in _SPANS if (match := _MODULE.fullmatch(span)) and match[1] in _PACKAGES]
    matches = [match for match in matches if match[2] != "py"]

    missing = [match[0] for match in matches if not _is_there(*match.groups())]

    assert len(matches) > 10
    assert missing == []


def _is_there(package: str, module: str, name: str | None) -> bool:
    if name and (PRODUCT / package / module / f"{name}.py").is_file():
        return True
    path = PRODUCT / package / f"{module}.py"
    definition = rf"^(?:class|def) {name}\b" if name else ""
    return path.is_file() and re.search(definition, path.read_text(), re.MULTILINE) is not None
