"""Checks which package may import which, from the source of every module."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import PRODUCT, TESTS

ROOT = PRODUCT
PACKAGE = ROOT.name

# Packages and modules of the root, highest first. A package imports only from lower rows, and from itself.
ROWS = """
    __main__ lifecycle session
    worker
    check
    conversion export
    otlp transport
    receiver buffer log_formats invocations endpoints flushing
    telemetry startup
    core settings http1 lambda_api diagnostics errors clock
"""
LEVELS = {name: -number for number, row in enumerate(ROWS.strip().splitlines()) for name in row.split()}
# Modules of one row that may import each other: the root's, which form no package.
ROOT_MODULES = frozenset(path.stem for path in ROOT.glob("*.py"))

# Values in, values out: no sockets, threads, clock, logging or environment.
PURE_PACKAGES = frozenset(["telemetry", "log_formats", "invocations", "otlp", "conversion", "flushing", "endpoints"])
PURE_MODULES = frozenset(
    {
        "buffer.ledger",
        "buffer.outbox",
        "export.answers",
        "export.responses",
        "export.splitting",
        "receiver.duplicate_posts",
    }
    | {
        "transport.response_reader",
        "transport.outcome",
        "transport.grpc.frames",
        "transport.grpc.status",
        "check.certificates",
        "check.findings",
        "check.items",
        "check.known_backends",
        "check.responses",
        "check.settings_list",
        "check.tls_problems",
        "core.batch",
        "core.cache",
        "core.version",
    }
    | {"settings", "http1", "errors"}
)
MOST_MODULES = 10
WORLD_ROWS = """
    _socket _thread asyncio fcntl http httpx io logging os pathlib posix random select selectors shutil signal
    socket ssl subprocess sys tempfile threading time
"""
WORLD = frozenset(WORLD_ROWS.split())


def modules() -> dict[str, ast.Module]:
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.rglob("*.py")}
    return {name: ast.parse(path.read_text()) for path, name in names.items() if not name.endswith("__init__")}


MODULES = modules()


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything that *tree* imports, also in functions and for the type checker."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                yield "a relative import"


def own_imports(tree: ast.AST) -> set[str]:
    """Return our own modules that *tree* imports."""
    ours = {name.removeprefix(f"{PACKAGE}.") for name in imports(tree) if name.startswith(PACKAGE)}
    return {name if name in MODULES else name.rpartition(".")[0] for name in ours}


def package_of(name: str) -> str:
    return name.partition(".")[0]


PURE = sorted(name for name in MODULES if package_of(name) in PURE_PACKAGES or name in PURE_MODULES)


def test_every_package_has_a_row() -> None:
    assert set(map(package_of, MODULES)) == set(LEVELS)


def test_pure_modules_exist() -> None:
    assert set(MODULES) >= PURE_MODULES
    assert set(map(package_of, MODULES)) >= PURE_PACKAGES


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_downwards(name: str) -> None:
    own = package_of(name)
    upwards = {
        other
        for other in own_imports(MODULES[name])
        if package_of(other) != own
        and not {own, package_of(other)} <= ROOT_MODULES
        and LEVELS[package_of(other)] >= LEVELS[own]
    }

    assert upwards == set()
    assert "a relative import" not in imports(MODULES[name])


def test_no_package_is_large() -> None:
    sizes = Counter(name.rpartition(".")[0] for name in MODULES)

    assert {package: size for package, size in sizes.items() if size > MOST_MODULES} == {}


def test_tests_mirror_the_packages() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert {package for package in packages if not (TESTS / package).is_dir()} == set()


def test_every_module_with_a_function_has_its_tests() -> None:
    tested = {
        name for name, tree in MODULES.items() if any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree))
    }

    assert {name for name in tested if not path_of_tests(name).is_file()} == set()


def path_of_tests(name: str) -> Path:
    """Return the path of the tests of a module."""
    *packages, module = name.split(".")
    return TESTS.joinpath(*packages, f"test_{module.strip('_')}.py")


def test_imports_have_no_cycle() -> None:
    waiting = {name: own_imports(tree) for name, tree in MODULES.items()}

    while ready := {name for name, needed in waiting.items() if not needed & set(waiting)}:
        waiting = {name: needed for name, needed in waiting.items() if name not in ready}

    assert waiting == {}


@pytest.mark.parametrize("name", PURE)
def test_pure_module_touches_nothing(name: str) -> None:
    assert {other.partition(".")[0] for other in imports(MODULES[name])} & WORLD == set()


def test_only_the_clock_reads_the_time() -> None:
    assert {name for name, tree in MODULES.items() if reads_time(tree)} == {"clock"}


def reads_time(tree: ast.AST) -> bool:
    uses = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return any(use.startswith("time.") for use in uses | set(imports(tree)) if use != "time.sleep")


def test_no_wait_follows_the_wall_clock() -> None:
    """A lock with a timeout does, with some C libraries."""
    assert {name for name, tree in MODULES.items() if waits_for_a_lock(tree)} == set()


def waits_for_a_lock(tree: ast.AST) -> bool:
    """Return whether *tree* waits for a lock with a timeout, or uses something that can."""
    classes = {"Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "Timer"}
    uses = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | set(imports(tree))
    calls = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if any(keyword.arg == "timeout" for keyword in node.keywords)
    }
    others = {"queue.Queue", "queue.LifoQueue", "queue.PriorityQueue", "concurrent.futures", "asyncio"}
    return bool(
        uses & ({f"threading.{name}" for name in classes} | others) or calls & {"acquire", "join", "get", "result"}
    )


@pytest.mark.parametrize("name", sorted(MODULES))
def test_import_only_defines(name: str) -> None:
    for statement in MODULES[name].body:
        match statement:
            case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.ClassDef():
                pass
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
                pass
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__")), orelse=[]) if name == "__main__":
                pass
            case ast.Assign() | ast.AnnAssign():
                assert called_roots(statement) & (WORLD | {"open", "print"}) == set()
            case _:
                pytest.fail(f"{name}, line {statement.lineno}: {ast.unparse(statement)}")


def called_roots(statement: ast.AST) -> set[str]:
    """Return the first part of each name that *statement* calls: `os` of `os.environ.get()`."""
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return {ast.unparse(function).partition(".")[0] for function in calls}


def test_init_modules_contain_only_a_docstring() -> None:
    for path in ROOT.rglob("__init__.py"):
        assert len(ast.parse(path.read_text()).body) == 1
