"""Who may import whom: the order of the house, read from the source of every module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "telemetry_forwarder"
PACKAGE = ROOT.name

# A module imports only from rows below its own. A new module gets a place here, as low as it can lie.
ROWS = """
    __main__
    lifecycle
    forwarding
    worker listener lambda_api port
    warm_up
    assembly
    forwarder
    flush backlog
    past
    conversion delivery
    log_lines
    usual_lines holding plain_post
    route flush_policy outbox spool decoding invocations formats otlp.logs otlp.metrics otlp.spans
    transport answers splitting circuit cadence request_ends
    direct proxied phases redelivery spool_folder json_lines text_lines stitching envelopes platform_events lenient_json
    answer_reader json_fields otlp.common otlp.log_records otlp.metric_bytes otlp.platform_attributes
    exporter_metrics otlp.kept_histograms platform_logs
    otlp.wire free_memory sockets tls grpc_calls inbox http1 ledger flush_terms spool_format invocation tracing
    endpoints config host_names outcomes stack_traces json_prefix json_text timestamps trace_ids severity
    attempt lane proxies urls batch records line replies repeats version
    diagnostics bundle
    inspected
    deferred
    errors data waiting memo
    clock
"""
LEVELS = {name: -number for number, row in enumerate(ROWS.strip().splitlines()) for name in row.split()}

# The middle, where the thinking lives, takes values and returns values.
PURE_ROWS = """
    decoding envelopes stitching json_prefix json_text lenient_json records platform_events timestamps
    formats log_lines usual_lines json_lines json_fields text_lines line severity stack_traces trace_ids tracing
    plain_post platform_logs
    invocations invocation phases redelivery outcomes
    otlp.logs otlp.log_records otlp.metrics otlp.spans otlp.common otlp.metric_bytes otlp.platform_attributes
    otlp.kept_histograms otlp.wire flush_policy flush_terms cadence request_ends config endpoints proxies urls batch
    outbox ledger splitting exporter_metrics repeats answers answer_reader replies http1 errors version memo
"""
PURE = frozenset(PURE_ROWS.split())
WORLD_ROWS = """
    _socket _thread asyncio fcntl http httpx io logging os pathlib posix random select selectors shutil signal
    socket ssl subprocess sys tempfile threading time
"""
WORLD = frozenset(WORLD_ROWS.split())


def modules() -> dict[str, ast.Module]:
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.rglob("*.py")}
    return {
        name: ast.parse(path.read_text()) for path, name in names.items() if not name.endswith("__init__")
    }


MODULES = modules()


def imports(tree: ast.AST) -> Iterator[str]:
    """Everything that *tree* imports, in functions and for the type checker too, by full names."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                yield "a relative import"


def own_imports(tree: ast.AST) -> set[str]:
    """The modules of ours that *tree* imports."""
    ours = {name.removeprefix(f"{PACKAGE}.") for name in imports(tree) if name.startswith(PACKAGE)}
    return {name if name in MODULES else name.rpartition(".")[0] for name in ours}


def test_every_module_has_its_place() -> None:
    assert {"without a row": set(MODULES) - set(LEVELS), "gone": set(LEVELS) - set(MODULES)} == {
        "without a row": set(),
        "gone": set(),
    }


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_one_way(name: str) -> None:
    upwards = {other for other in own_imports(MODULES[name]) if LEVELS[other] >= LEVELS[name]}

    assert upwards == set()
    assert "a relative import" not in imports(MODULES[name])


def test_imports_make_no_circle() -> None:
    waiting = {name: own_imports(tree) for name, tree in MODULES.items()}

    while ready := {name for name, needed in waiting.items() if not needed & set(waiting)}:
        waiting = {name: needed for name, needed in waiting.items() if name not in ready}

    assert waiting == {}


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_module_touches_nothing(name: str) -> None:
    assert {other.partition(".")[0] for other in imports(MODULES[name])} & WORLD == set()


def test_nobody_but_the_clock_reads_the_time() -> None:
    assert {name for name, tree in MODULES.items() if reads_time(tree)} == {"clock"}


def reads_time(tree: ast.AST) -> bool:
    uses = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return any(use.startswith("time.") for use in uses | set(imports(tree)) if use != "time.sleep")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_import_does_nothing_but_define(name: str) -> None:
    for statement in MODULES[name].body:
        match statement:
            case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.ClassDef():
                pass
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
                pass
            case ast.Assign() | ast.AnnAssign():
                assert called_roots(statement) & (WORLD | {"open", "print"}) == set()
            case _:
                pytest.fail(f"{name}, line {statement.lineno}: {ast.unparse(statement)}")


def called_roots(statement: ast.AST) -> set[str]:
    """The first names of everything that *statement* calls: `os` of `os.environ.get()`."""
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return {ast.unparse(function).partition(".")[0] for function in calls}


def test_packages_hold_a_docstring_and_nothing_else() -> None:
    for path in ROOT.rglob("__init__.py"):
        assert len(ast.parse(path.read_text()).body) == 1
