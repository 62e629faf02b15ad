"""Which modules of `test.test_asyncio` are run, and with which kits."""

import importlib.util

# Those that the running version lacks are left out. The others of that package have no use for a loop
# of their own: test_protocols and test_transports (abstract classes), test_tools (tables that it makes
# of given numbers), test_selector_events, test_proactor_events, test_windows_events and
# test_windows_utils (the stdlib's own loops, by mocks of their selector or proactor).
MODULES = (
    "test_base_events",
    "test_buffered_proto",
    "test_context",
    "test_eager_task_factory",
    "test_events",
    "test_free_threading",
    "test_futures",
    "test_futures2",
    "test_graph",
    "test_locks",
    "test_pep492",
    "test_queues",
    "test_runners",
    "test_sendfile",
    "test_server",
    "test_server_context",
    "test_sock_lowlevel",
    "test_ssl",
    "test_sslproto",
    "test_staggered",
    "test_streams",
    "test_subprocess",
    "test_taskgroups",
    "test_tasks",
    "test_threads",
    "test_timeouts",
    "test_unix_events",
    "test_waitfor",
)

# Modules that call gather, wait, start_server and so on: they are run a second time with cloop's.
CALLS_FUNCTIONS = frozenset({"test_eager_task_factory", "test_streams", "test_tasks", "test_waitfor"})

KITS = {"asyncio": ("asyncio",), "cloop": ("cloop", "cloop+functions")}


def qualified(module: str) -> str:
    """The importable name of a module of asyncio's tests; a dotted name is a module of any package."""
    return module if "." in module else f"test.test_asyncio.{module}"


def installed() -> list[str]:
    """The modules of MODULES that this interpreter brings."""
    if importlib.util.find_spec("test.test_asyncio") is None:
        return []
    return [name for name in MODULES if importlib.util.find_spec(qualified(name)) is not None]


def runs(loop: str, modules: list[str]) -> list[tuple[str, str]]:
    """The (module, kit) pairs to run for a loop."""
    return [
        (module, kit)
        for module in modules
        for kit in KITS[loop]
        if "+functions" not in kit or module in CALLS_FUNCTIONS
    ]
