"""Build cloop's extension modules.

Settings, all from the environment:

CLOOP_POLLER   epoll or kqueue; without it, the platform's own. On Linux kqueue is an emulation, for
               testing the poller (tests/kqueue).
CLOOP_DEBUG    1 for a build that counts live handles, timers, watches and transports, asserts the
               invariants, and compiles our own C with -Wall -Werror.
CLOOP_SANITIZE address,undefined (or one of gcc's others) for a build in which the sanitizers watch every
               access of ours; the process needs their libraries from its start (.ci/sanitize).
CLOOP_WERROR   1 for -Wall -Werror alone, as CI builds.
CLOOP_ANNOTATE 1 writes Cython's HTML annotation beside each module's C file.
CFLAGS, LDFLAGS   as ever.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py


def switch(name: str) -> bool:
    """Whether a variable of the environment is 1."""
    value = os.environ.get(name, "")
    if value not in ("", "0", "1"):
        raise SystemExit(f"{name} must be 1 or 0, not {value!r}")
    return value == "1"


DEBUG = switch("CLOOP_DEBUG")
SANITIZERS = os.environ.get("CLOOP_SANITIZE", "")
WERROR = DEBUG or switch("CLOOP_WERROR")
ANNOTATE = switch("CLOOP_ANNOTATE")
POLLER = os.environ.get("CLOOP_POLLER") or ("epoll" if sys.platform.startswith("linux") else "kqueue")
if POLLER not in ("epoll", "kqueue"):
    raise SystemExit(f"CLOOP_POLLER must be epoll or kqueue, not {POLLER!r}")

# Linux has no kqueue(2), but tests have an emulation of it.
EMULATED = POLLER == "kqueue" and sys.platform.startswith("linux")

# A folder for each kind of build: setuptools goes by the dates of files, and would take what was built
# with other settings for up to date.
KIND = [POLLER, *(["debug"] if DEBUG else []), *filter(None, SANITIZERS.split(","))]
BUILD_FOLDER = "build/" + "-".join(KIND)
PROCESSORS = os.cpu_count() or 1

FLAGS = ["-O2", "-fvisibility=hidden"]
if sys.platform != "darwin":
    # Says something about ELF only, and clang says so.
    FLAGS.append("-fno-semantic-interposition")
if SANITIZERS:
    # What is undefined ends the process; the frame pointers are for the reports.
    SANITIZE = [f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=undefined"]
    FLAGS += [*SANITIZE, "-g", "-O1", "-fno-omit-frame-pointer"]
else:
    SANITIZE = []

# Cython's own output compares signed with unsigned, leaves helpers unused, and from gcc 16 on seems to
# call a function pointer of METH_O with four arguments; our header is clean under -Wall. (clang says
# that it knows nothing of -Wmaybe-uninitialized.)
WARNINGS = [
    "-Wall",
    "-Werror",
    "-Wno-sign-compare",
    "-Wno-unused-function",
    "-Wno-unknown-warning-option",
    "-Wno-maybe-uninitialized",
]

# Every compiler directive of the project, in one place. A file that overrides one says why.
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "nonecheck": False,
    "cdivision": True,
    "overflowcheck": False,
    # An argument of an extension type, or of one of Python's, is not None unless it says `or None`: as
    # nonecheck is off, memory would be read where there is nothing.
    "allow_none_for_extension_args": False,
    "auto_pickle": False,
    # Plain method descriptors, which the interpreter calls without a detour.
    "binding": False,
    # Methods with no argument or one are called as CPython calls its own (METH_NOARGS, METH_O). Where asyncio
    # lets the one argument be given by its name, the method has this directive with True.
    "always_allow_keywords": False,
    # What a finalizer raises is told once, by sys.unraisablehook.
    "unraisable_tracebacks": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "freethreading_compatible": False,
}

# Room by room, lowest first; a module may cimport only from those above it in this list.
MODULES = [
    "poll/poller.pyx",
    f"poll/{POLLER}.pyx",
    "core/counts.pyx",
    "core/snapshot.pyx",
    "core/ring.pyx",
    "core/shared.pyx",
    "core/ready.pyx",
    "core/handle.pyx",
    "core/untracked.pyx",
    "core/timer.pyx",
    "core/step.pyx",
    "core/watch.pyx",
    "core/wakeup.pyx",
    "core/inbox.pyx",
    "core/reactor.pyx",
    "core/views.pyx",
    "core/selector.pyx",
    "aio/registry.pyx",
    "aio/future.pyx",
    "aio/awaited.pyx",
    "aio/task.py",
    "aio/bridge.pyx",
    "aio/latch.pyx",
    "transports/addr.pyx",
    "transports/clients.pyx",
    "transports/flow.pyx",
    "transports/sockets.pyx",
    "transports/nodelay.pyx",
    "transports/scratch.pyx",
    "transports/sink.pyx",
    "transports/intake.pyx",
    "transports/readiness.pyx",
    "transports/sender.pyx",
    "transports/base.pyx",
    "transports/stream.pyx",
    "transports/pipe.pyx",
    "transports/listener.pyx",
    "transports/datagram.pyx",
    "transports/tls/engine.pyx",
    "transports/tls/records.pyx",
    "transports/tls/machine.pyx",
    "transports/tls/transport.pyx",
    "transports/tls/accept.pyx",
    "api/receiver.pyx",
    "api/sockio.pyx",
    "api/spawn.pyx",
    "api/streamio.pyx",
    "api/replaced.pyx",
    "api/socketfile.pyx",
    "base_loop.pyx",
]


def extension(path: str) -> Extension:
    """One extension module from its path below src/cloop."""
    emulated = EMULATED and path == "poll/kqueue.pyx"
    return Extension(
        "cloop." + path.rsplit(".", 1)[0].replace("/", "."),
        ["src/cloop/" + path, *(["tests/kqueue/kqueue.c"] if emulated else [])],
        include_dirs=["src/cloop/_c", *(["tests/kqueue"] if emulated else [])],
        depends=[str(header) for header in sorted(Path("src/cloop/_c").glob("*.h"))],
        define_macros=[("CLOOP_DEBUG", "1" if DEBUG else "0")],
        extra_compile_args=FLAGS + (WARNINGS if WERROR else []),
        extra_link_args=SANITIZE,
    )


def bench_programs() -> list[Extension]:
    """The C programs of bench/, for whoever has no compiler; they are made for epoll."""
    if not sys.platform.startswith("linux"):
        return []
    sources = [f"bench/echo/{name}.c" for name in ("programs", "load", "server")]
    headers = [f"bench/echo/{name}.h" for name in ("common", "openssl", "wire")]
    return [
        Extension(
            "cloop_bench.echo.programs",
            sources,
            depends=headers,
            define_macros=[("AS_MODULE", "1")],
            libraries=["dl"],  # where dlopen is no part of libc yet
            extra_compile_args=FLAGS + (WARNINGS if WERROR else []),
            extra_link_args=SANITIZE,
        )
    ]


class BuildExt(build_ext):
    """Mend what Cython 3.3 compiles a list comprehension to.

    Where there is no memory for the list to grow, the item that could not be appended loses a reference in
    the function that appends, and another one where that has failed; see
    https://github.com/cython/cython/pull/7748.
    """

    FAULT = "int result = PyList_Append(list, x);\n    Py_DECREF(x);"
    MENDED = "int result = PyList_Append(list, x);\n    if (likely(result == 0)) Py_DECREF(x);"

    def build_extension(self, ext):
        for source in map(Path, ext.sources):
            # Those that Cython has made.
            if source.is_relative_to("build") and self.FAULT in (text := source.read_text("utf-8")):
                source.write_text(text.replace(self.FAULT, self.MENDED), "utf-8")
        super().build_extension(ext)


class BuildPy(build_py):
    """Leave out the .py sources that were compiled, and bench/'s tests.

    A plain file beside the compiled module of the same name would only be confusing.
    """

    def find_package_modules(self, package, package_dir):
        left_out = {f"src/cloop/{path}" for path in MODULES if path.endswith(".py")}
        left_out.add("bench/test_scheduling.py")
        found = super().find_package_modules(package, package_dir)
        return [entry for entry in found if Path(entry[2]).as_posix() not in left_out]


# The workers of cythonize may import this file as a module of another name.
if __name__ == "__main__":
    setup(
        cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
        # bench/ goes along, for `python -m cloop bench`: under a name that nobody else has.
        package_dir={"": "src", "cloop_bench": "bench"},
        packages=[*find_packages("src"), "cloop_bench", "cloop_bench.echo"],
        options={"build": {"build_base": BUILD_FOLDER}, "build_ext": {"parallel": PROCESSORS}},
        ext_modules=bench_programs()
        + cythonize(
            [extension(path) for path in MODULES],
            compiler_directives=DIRECTIVES,
            annotate=ANNOTATE,
            build_dir="build/cython",
            nthreads=0 if sys.platform == "darwin" else PROCESSORS,
        ),
    )
