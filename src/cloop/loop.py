"""Loop: the event loop that users get. A table of contents.

The engine is `BaseLoop`; what is called once per connection, signal or thread is a function of
`cloop.api` each, bound here under asyncio's names.
"""

import asyncio
import types
import warnings
from asyncio import coroutines

from cloop.api import (
    asyncgens,
    connect,
    datagram,
    deleted,
    dns,
    errors,
    executor,
    pipes,
    processes,
    self_pipe,
    sending,
    serve,
    signals,
    sockops,
    streams,
    tls,
    unix,
)
from cloop.base_loop import BaseLoop

OVERRIDABLE = ("call_soon", "call_soon_threadsafe", "call_at", "time")


class Loop(BaseLoop, asyncio.AbstractEventLoop):
    """An asyncio event loop on epoll or kqueue.

    `loop = cloop.new_event_loop()`, or `asyncio.run(main(), loop_factory=cloop.new_event_loop)`.
    """

    def __init__(self):
        if coroutines._is_debug_mode():
            self.set_debug(True)
        self.equips_streams = streams.SWITCHED_ON
        self._note_overrides()

    def __repr__(self):
        return (
            f"<{type(self).__name__} running={self.is_running()} "
            f"closed={self.is_closed()} debug={self.get_debug()}>"
        )

    def __del__(self, _warn=warnings.warn):
        # asyncio's loops are part of a cycle, so what still holds one when the interpreter takes its
        # modules apart holds it for ever, and nobody is told.
        if self.is_closed() or self._is_taken_apart():
            return
        _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
        if not self.is_running():
            self.close()

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        # Tests and tools replace these on an instance; the engine, which does not go through the
        # methods, has to know.
        if name in OVERRIDABLE:
            self._note_overrides()

    def __delattr__(self, name):
        if not deleted.delete(self, Loop, name):
            super().__delattr__(name)
        if name in OVERRIDABLE:
            self._note_overrides()

    def _note_overrides(self):
        # Without a look into the instance dict, which would make one; see BaseLoop.
        own = [getattr(self, name) != getattr(BaseLoop, name).__get__(self) for name in OVERRIDABLE]
        self._follow_overrides(*own)

    def close(self):
        """Drop what is scheduled and free the loop's resources; not while it runs. Idempotent."""
        if self._closed or self.is_running():
            self._release()
            return
        try:
            self._remove_signal_handlers()
        finally:
            self._release()
            self_pipe.close(self)
            self._executor_shutdown_called = True
            executor.shut_down(self, wait=False)
            self._default_executor = self._name_executor = None

    def _timer_handle_cancelled(self, handle):
        """Called by a TimerHandle of asyncio's own, of which the loop has none in its heap."""

    def _leave_to_parent(self):
        super()._leave_to_parent()
        self_pipe.close(self)
        signals.leave_runner(self)

    _csock = property(self_pipe.write_end)
    _ssock = property(self_pipe.read_end)

    # ---- Errors
    get_exception_handler = errors.get_exception_handler
    set_exception_handler = errors.set_exception_handler
    default_exception_handler = errors.default_exception_handler
    call_exception_handler = errors.call_exception_handler

    # ---- Asynchronous generators
    _asyncgen_firstiter_hook = asyncgens.firstiter_hook
    _asyncgen_finalizer_hook = asyncgens.finalizer_hook
    shutdown_asyncgens = asyncgens.shutdown_asyncgens

    # ---- Threads
    run_in_executor = executor.run_in_executor
    set_default_executor = executor.set_default_executor
    shutdown_default_executor = executor.shutdown_default_executor

    # ---- Signals
    add_signal_handler = signals.add_signal_handler
    remove_signal_handler = signals.remove_signal_handler
    _remove_signal_handlers = signals.remove_all
    _handle_signal = signals.handle_signal
    _check_signal = staticmethod(signals.check_signal)

    # ---- Processes
    subprocess_exec = processes.subprocess_exec
    subprocess_shell = processes.subprocess_shell

    # ---- Network
    getaddrinfo = dns.getaddrinfo
    getnameinfo = dns.getnameinfo
    _ensure_resolved = dns.ensure_resolved_by
    create_connection = connect.create_connection
    connect_accepted_socket = connect.connect_accepted_socket
    create_server = serve.create_server
    create_unix_connection = unix.create_unix_connection
    create_unix_server = unix.create_unix_server
    create_datagram_endpoint = datagram.create_datagram_endpoint
    start_tls = tls.start_tls
    connect_read_pipe = pipes.connect_read_pipe
    connect_write_pipe = pipes.connect_write_pipe
    sock_recv = sockops.sock_recv
    sock_recv_into = sockops.sock_recv_into
    sock_recvfrom = sockops.sock_recvfrom
    sock_recvfrom_into = sockops.sock_recvfrom_into
    sock_sendall = sockops.sock_sendall
    sock_sendto = sockops.sock_sendto
    sock_connect = sockops.sock_connect
    sock_accept = sockops.sock_accept
    sendfile = sending.sendfile
    sock_sendfile = sending.sock_sendfile
    _make_socket_transport = connect.make_socket_transport
    _make_datagram_transport = datagram.make_datagram_transport
    _make_ssl_transport = tls.make_ssl_transport
    _make_read_pipe_transport = pipes.make_read_pipe_transport
    _make_write_pipe_transport = pipes.make_write_pipe_transport
    # asyncio's own sendfile and sock_sendfile call these.
    _check_sendfile_params = sending.check_params
    _sendfile_native = sending.sendfile_native
    _sendfile_fallback = sending.sendfile_fallback
    _sock_sendfile_native = sending.sock_sendfile_native
    _sock_sendfile_fallback = sending.sock_sendfile_fallback
    # The Server of asyncio calls these.
    _start_serving = serve.start_serving
    _stop_serving = unix.stop_serving


def take_names(loop_type, model):
    """Call the functions of `loop_type` what those of `model` are called.

    It shows in the repr of a coroutine and in the warning about one that was never awaited, which
    people filter by its text.
    """
    for name, value in vars(loop_type).items():
        theirs = getattr(model, name, None)
        if isinstance(value, types.FunctionType) and isinstance(theirs, types.FunctionType):
            value.__qualname__ = theirs.__qualname__


take_names(Loop, asyncio.SelectorEventLoop)
