"""Variables that a function may set for itself and that something in our process would read.

The names are those in the documentation, and in the code, of what reads them; the values are meant to do harm.
"""

from collections.abc import Mapping
from pathlib import Path

from opentelemetry import environment_variables as api_variables
from opentelemetry.sdk import environment_variables as sdk_variables

# Read before our first line, so the start script removes or overrides them.
# https://man7.org/linux/man-pages/man8/ld.so.8.html, https://man7.org/linux/man-pages/man3/mallopt.3.html
_LINKER = {
    "LD_LIBRARY_PATH": "/nowhere",
    "LD_PRELOAD": "/nowhere/library.so",
    "LD_AUDIT": "/nowhere/library.so",
    "LD_ASSUME_KERNEL": "2.0.0",
    "LD_BIND_NOT": "1",
    "LD_BIND_NOW": "1",
    "LD_DEBUG": "statistics",
    "LD_DYNAMIC_WEAK": "1",
    "LD_HWCAP_MASK": "0",
    "LD_ORIGIN_PATH": "/nowhere",
    "LD_POINTER_GUARD": "0",
    "LD_PREFER_MAP_32BIT_EXEC": "1",
    "LD_PROFILE": "libc.so.6",
    "LD_PROFILE_OUTPUT": "/nowhere",
    "LD_SHOW_AUXV": "1",
    "LD_TRACE_PRELINKING": "1",
    "LD_USE_LOAD_BIAS": "1",
    "LD_VERBOSE": "1",
    "LD_WARN": "1",
}
_C_LIBRARY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=2:glibc.malloc.check=3:glibc.malloc.tcache_count=0",
    "MALLOC_ARENA_TEST": "1",
    "MALLOC_CHECK_": "3",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_PERTURB_": "255",
    "MALLOC_TOP_PAD_": "4000000000",
    "MALLOC_TRACE": "/nowhere/trace",
}
# LC_ALL and TZ override the others.
_LOCALE = {
    "LANG": "tr_TR.ISO-8859-9",
    "LANGUAGE": "zz",
    "LC_ALL": "zh_CN.GBK",
    "LC_CTYPE": "zh_CN.GBK",
    "LC_MESSAGES": "zz_ZZ",
    "LC_NUMERIC": "de_DE",
    "LOCPATH": "/nowhere",
    "TZ": ":/proc/self/mem",
    "TZDIR": "/nowhere",
}
_START_OF_PYTHON = {
    "PYTHONEXECUTABLE": "/nowhere/python",
    "PYTHONHOME": "/nowhere",
    "__PYVENV_LAUNCHER__": "/nowhere/launcher",
}
REMOVED_BY_SCRIPT: dict[str, str] = _LINKER | _C_LIBRARY | _START_OF_PYTHON

# https://docs.python.org/3/using/cmdline.html#environment-variables
_PYTHON = dict.fromkeys(
    (
        *("PYTHONASYNCIODEBUG", "PYTHONBREAKPOINT", "PYTHONCASEOK", "PYTHONCOERCECLOCALE", "PYTHONDEBUG"),
        *("PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE", "PYTHONDUMPREFS", "PYTHONFAULTHANDLER", "PYTHONHASHSEED"),
        *("PYTHONINSPECT", "PYTHONINTMAXSTRDIGITS", "PYTHONIOENCODING", "PYTHONMALLOC", "PYTHONMALLOCSTATS"),
        *("PYTHONNODEBUGRANGES", "PYTHONNOUSERSITE", "PYTHONOPTIMIZE", "PYTHONPATH", "PYTHONPERFSUPPORT"),
        *("PYTHONPLATLIBDIR", "PYTHONPROFILEIMPORTTIME", "PYTHONPYCACHEPREFIX", "PYTHONSAFEPATH", "PYTHONSTARTUP"),
        *("PYTHONTHREADDEBUG", "PYTHONTRACEMALLOC", "PYTHONUNBUFFERED", "PYTHONUSERBASE", "PYTHONUTF8"),
        *("PYTHONVERBOSE", "PYTHONWARNDEFAULTENCODING", "PYTHONWARNINGS", "PYTHON_BASIC_REPL", "PYTHON_COLORS"),
        *("PYTHON_CONTEXT_AWARE_WARNINGS", "PYTHON_CPU_COUNT", "PYTHON_DISABLE_REMOTE_DEBUG", "PYTHON_FROZEN_MODULES"),
        *("PYTHON_GIL", "PYTHON_HISTORY", "PYTHON_JIT", "PYTHON_PERF_JIT_SUPPORT", "PYTHON_PRESITE"),
        *("PYTHON_THREAD_INHERIT_CONTEXT", "PYTHON_TLBC"),
    ),
    "nonsense",
)
# https://docs.openssl.org/master/man7/openssl-env/
_OPENSSL = dict.fromkeys(
    (
        *("CTLOG_FILE", "OPENSSL_CONF_INCLUDE", "OPENSSL_ENGINES", "OPENSSL_MALLOC_FD", "OPENSSL_MODULES"),
        *("OPENSSL_TRACE", "OSSL_QFILTER", "QLOGDIR", "RANDFILE", "SSLKEYLOGFILE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
        *("OPENSSL_armcap", "OPENSSL_ia32cap"),
    ),
    "/nowhere",
) | {"OPENSSL_ia32cap": ":~0", "OPENSSL_MALLOC_FAILURES": "0@100", "OPENSSL_armcap": "0"}
# https://man7.org/linux/man-pages/man5/resolv.conf.5.html and environ(7) in the C library
_RESOLVER = {
    "GCONV_PATH": "/nowhere",
    "GETCONF_DIR": "/nowhere",
    "HOME": "/nowhere",
    "HOSTALIASES": "/proc/self/mem",
    "LIBC_FATAL_STDERR_": "1",
    "LOCALDOMAIN": "nowhere.invalid",
    "NIS_PATH": "/nowhere",
    "NLSPATH": "/nowhere",
    "POSIXLY_CORRECT": "1",
    "RESOLV_HOST_CONF": "/nowhere",
    "RESOLV_MULTI": "off",
    "RESOLV_REORDER": "on",
    "RES_OPTIONS": "timeout:0 attempts:0 use-vc",
    "TMPDIR": "/nowhere",
}
# The libraries in the layer, and tools that people configure in this way.
_LIBRARIES = {
    "ARES_SERVERS": "192.0.2.1",
    "CURL_CA_BUNDLE": "/nowhere",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/nowhere",
    "GRPC_DNS_RESOLVER": "nonsense",
    "GRPC_ENABLE_FORK_SUPPORT": "nonsense",
    "GRPC_EXPERIMENTS": "all",
    "GRPC_POLL_STRATEGY": "nonsense",
    "GRPC_TRACE": "all",
    "GRPC_VERBOSITY": "DEBUG",
    "NETRC": "/nowhere",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "cpp",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION_VERSION": "1",
    "REQUESTS_CA_BUNDLE": "/nowhere",
    "RUST_BACKTRACE": "full",
    "TEMPORARILY_DISABLE_PROTOBUF_VERSION_CHECK": "nonsense",
}
# Read by us: docs/settings.md.
_OURS = ("OTEL_EXPORTER_OTLP_", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME")
_SDK = {
    value: "-1"
    for module in (api_variables, sdk_variables)
    for value in vars(module).values()
    if isinstance(value, str) and value.startswith("OTEL_") and not value.startswith(_OURS)
} | {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "nonsense", "OTEL_PYTHON_CONTEXT": "nonsense"}

# Read by shells; the start script must not depend on it.
_SHELL = {
    "BASH_ENV": "/nowhere",
    "BASHOPTS": "extdebug",
    "CDPATH": "/proc",
    "ENV": "/nowhere",
    "GLOBIGNORE": "*",
    "IFS": "/-ex",
    "PATH": "",
    "PS4": "$(exit 3)",
    "SHELLOPTS": "errexit:nounset",
    "name": "x",
    "root": "/nowhere",
    "not a name": "x",
    "BASH_FUNC_[%%": "() { exit 3; }",
    "BASH_FUNC_echo%%": "() { exit 3; }",
    "BASH_FUNC_exec%%": "() { exit 3; }",
    "BASH_FUNC_unset%%": "() { exit 3; }",
}


GROUPS = ("before our first line", "python", "openssl", "c library", "libraries", "sdk", "shell")


def hostile_variables(folder: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the variables by what reads them. Files that they name are written to *folder*."""
    only_legacy = folder / "openssl.cnf"
    only_legacy.write_text(
        "openssl_conf = all\n[all]\nproviders = some\n[some]\nlegacy = legacy\n[legacy]\nactivate = 1\n"
    )
    openssl = _OPENSSL | {"OPENSSL_CONF": str(only_legacy)}
    tables = (REMOVED_BY_SCRIPT | _LOCALE, _PYTHON, openssl, _RESOLVER, _LIBRARIES, _SDK, _SHELL)
    return dict(zip(GROUPS, tables, strict=True))
