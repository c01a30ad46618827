"""Checks commands that the documentation and the workflows name: do the script, its options and its files exist?"""

import re
import shlex

from tests.support.paths import PROJECT

_SCRIPTS = {
    "demo": "tests/demo/__main__.py",
    "test": "build.sh",
    "layer": "layer/build.py",
    "check": "telemetry_forwarder/check/command.py",
    "image": "build.sh",
    "fuzz": "tests/fuzz/__main__.py",
    "bench": "tests/bench/__main__.py",
    "install": "build.sh",
    "lock": "build.sh",
}
_SUBCOMMANDS = re.compile(r"^([a-z]+)\)$", re.MULTILINE)


def problems(command: str) -> list[str]:
    """Return what is wrong with *command*; empty if nothing is, or if it runs nothing of this project."""
    words = shlex.split(re.sub(r"\[[^]]*\]|\$\{\{[^}]*\}\}|…", "", command))
    for index, word in enumerate(words):
        rest = words[index + 1 :]
        if word == "./build.sh":
            return _build_script_problems(rest)
        if word == "-m" and rest[:2] == ["telemetry_forwarder", "check"]:
            return _option_problems(_SCRIPTS["check"], rest[2:])
        if word == "-m" and rest and rest[0].startswith("tests."):
            return _module_problems(rest[0], rest[1:])
        if word.startswith("layer/") and word.endswith((".py", ".sh")):
            return _option_problems(word, rest)
    return []


def _build_script_problems(words: list[str]) -> list[str]:
    known = _SUBCOMMANDS.findall((PROJECT / "build.sh").read_text())
    if not words or words[0] not in known:
        return [f"./build.sh has no {words[:1]}"]
    return _option_problems(_SCRIPTS[words[0]], words[1:]) + _benchmark_problems(words)


def _benchmark_problems(words: list[str]) -> list[str]:
    names = (PROJECT / _SCRIPTS["bench"]).read_text()
    wanted = words[1:2] if words[0] == "bench" else []
    return [f"there is no benchmark {name}" for name in wanted if f'"{name}"' not in names]


def _module_problems(module: str, words: list[str]) -> list[str]:
    path = module.replace(".", "/")
    for file in (f"{path}.py", f"{path}/__main__.py"):
        if (PROJECT / file).is_file():
            return _option_problems(file, words)
    return [f"there is no module {module}"]


def _option_problems(file: str, words: list[str]) -> list[str]:
    """Look for each option in the text of *file*: all scripts name theirs literally."""
    if not (PROJECT / file).is_file():
        return [f"there is no {file}"]
    text = (PROJECT / file).read_text()
    names = [name for word in words if word.startswith("--") for name in [word.partition("=")[0]]]
    return [f"{file} has no option {name}" for name in names if not re.search(rf"{name}\b", text)]
