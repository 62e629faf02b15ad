import asyncio
import ssl as _ssl
from asyncio.events import _ExceptionHandler
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context
from socket import _Address, _GetAddrInfoResult, _RetAddress, socket
from typing import IO, Any, TypeAlias, TypeVar, TypeVarTuple, overload

from _typeshed import ReadableBuffer, StrOrBytesPath, WriteableBuffer

from cloop.base_loop import BaseLoop
from cloop.transports.datagram import DatagramTransport
from cloop.transports.pipe import ReadPipeTransport, WritePipeTransport
from cloop.transports.stream import StreamTransport

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)
_ProtocolFactory: TypeAlias = Callable[[], asyncio.BaseProtocol]
_Context: TypeAlias = dict[str, Any]
_SSL: TypeAlias = _ssl.SSLContext | bool | None

OVERRIDABLE: tuple[str, ...]

def take_names(loop_type: type, model: type) -> None: ...

class Loop(BaseLoop, asyncio.AbstractEventLoop):
    def __init__(self) -> None: ...
    def __del__(self) -> None: ...
    def close(self) -> None: ...
    @property
    def _csock(self) -> socket | None: ...
    @property
    def _ssock(self) -> socket | None: ...

    # The first parameter of what comes from cloop.api is called `loop`.

    # ---- Errors

    def get_exception_handler(loop) -> _ExceptionHandler | None: ...
    def set_exception_handler(loop, handler: _ExceptionHandler | None) -> None: ...
    def default_exception_handler(loop, context: _Context) -> None: ...
    def call_exception_handler(loop, context: _Context) -> None: ...

    # ---- Asynchronous generators

    async def shutdown_asyncgens(loop) -> None: ...

    # ---- Threads

    def run_in_executor(
        loop, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]: ...
    def set_default_executor(loop, executor: ThreadPoolExecutor) -> None: ...  # type: ignore[override]
    async def shutdown_default_executor(loop, timeout: float | None = None) -> None: ...

    # ---- Signals

    def add_signal_handler(loop, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None: ...
    def remove_signal_handler(loop, sig: int) -> bool: ...

    # ---- Names

    async def getaddrinfo(
        loop,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> _GetAddrInfoResult: ...
    async def getnameinfo(
        loop, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int = 0
    ) -> tuple[str, str]: ...

    # As asyncio's, which is given the loop twice.
    async def _ensure_resolved(
        self,
        address: Sequence[Any],
        *,
        family: int = 0,
        type: int = ...,
        proto: int = 0,
        flags: int = 0,
        loop: Loop,
    ) -> Sequence[_GetAddrInfoResult]: ...

    # ---- Stream connections

    @overload
    async def create_connection(
        loop,
        protocol_factory: Callable[[], _ProtocolT],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: _SSL = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: None = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, _ProtocolT]: ...
    @overload
    async def create_connection(
        loop,
        protocol_factory: Callable[[], _ProtocolT],
        host: None = None,
        port: None = None,
        *,
        ssl: _SSL = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket,
        local_addr: None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, _ProtocolT]: ...
    async def create_unix_connection(
        loop,
        protocol_factory: Callable[[], _ProtocolT],
        path: StrOrBytesPath | None = None,
        *,
        ssl: _SSL = None,
        sock: socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, _ProtocolT]: ...
    async def connect_accepted_socket(
        loop,
        protocol_factory: Callable[[], _ProtocolT],
        sock: socket,
        *,
        ssl: _SSL = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, _ProtocolT]: ...
    async def start_tls(
        loop,
        transport: asyncio.WriteTransport,
        protocol: asyncio.BaseProtocol,
        sslcontext: _ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport | None: ...

    # ---- Servers

    @overload
    async def create_server(
        loop,
        protocol_factory: _ProtocolFactory,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        family: int = ...,
        flags: int = ...,
        sock: None = None,
        backlog: int = 100,
        ssl: _SSL = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> asyncio.Server: ...
    @overload
    async def create_server(
        loop,
        protocol_factory: _ProtocolFactory,
        host: None = None,
        port: None = None,
        *,
        family: int = ...,
        flags: int = ...,
        sock: socket,
        backlog: int = 100,
        ssl: _SSL = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> asyncio.Server: ...
    async def create_unix_server(
        loop,
        protocol_factory: _ProtocolFactory,
        path: StrOrBytesPath | None = None,
        *,
        sock: socket | None = None,
        backlog: int = 100,
        ssl: _SSL = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool | None = None,
    ) -> asyncio.Server: ...

    # ---- Datagrams

    # asyncio's stub has an argument reuse_address, which went in 3.11.
    async def create_datagram_endpoint(  # type: ignore[override]
        loop,
        protocol_factory: Callable[[], _ProtocolT],
        local_addr: tuple[str, int] | str | None = None,
        remote_addr: tuple[str, int] | str | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket | None = None,
    ) -> tuple[DatagramTransport, _ProtocolT]: ...

    # ---- Pipes

    async def connect_read_pipe(
        loop, protocol_factory: Callable[[], _ProtocolT], pipe: Any
    ) -> tuple[asyncio.ReadTransport, _ProtocolT]: ...
    async def connect_write_pipe(
        loop, protocol_factory: Callable[[], _ProtocolT], pipe: Any
    ) -> tuple[asyncio.WriteTransport, _ProtocolT]: ...

    # ---- Sockets

    async def sock_recv(loop, sock: socket, n: int) -> bytes: ...
    async def sock_recv_into(loop, sock: socket, buf: WriteableBuffer) -> int: ...
    async def sock_recvfrom(loop, sock: socket, bufsize: int) -> tuple[bytes, _RetAddress]: ...
    async def sock_recvfrom_into(
        loop, sock: socket, buf: WriteableBuffer, nbytes: int = 0
    ) -> tuple[int, _RetAddress]: ...
    async def sock_sendall(loop, sock: socket, data: ReadableBuffer) -> None: ...
    async def sock_sendto(loop, sock: socket, data: ReadableBuffer, address: _Address) -> int: ...
    async def sock_connect(loop, sock: socket, address: _Address) -> None: ...
    async def sock_accept(loop, sock: socket) -> tuple[socket, _RetAddress]: ...

    # ---- Files

    async def sendfile(
        loop,
        transport: asyncio.WriteTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int: ...
    async def sock_sendfile(
        self,
        sock: socket,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool | None = True,
    ) -> int: ...

    # ---- asyncio's private names, which its Server calls and libraries too

    def _make_socket_transport(
        loop,
        sock: socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: Mapping[str, Any] | None = None,
        server: asyncio.Server | None = None,
        context: Context | None = None,
    ) -> StreamTransport: ...
    def _make_datagram_transport(
        loop,
        sock: socket,
        protocol: asyncio.BaseProtocol,
        address: _Address | None = None,
        waiter: asyncio.Future[None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> DatagramTransport: ...
    def _make_ssl_transport(
        loop,
        rawsock: socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: _ssl.SSLContext | None,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: Mapping[str, Any] | None = None,
        server: asyncio.Server | None = None,
        ssl_handshake_timeout: float | None = ...,
        ssl_shutdown_timeout: float | None = ...,
        context: Context | None = None,
    ) -> asyncio.Transport: ...
    def _make_read_pipe_transport(
        loop,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> ReadPipeTransport: ...
    def _make_write_pipe_transport(
        loop,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> WritePipeTransport: ...
    def _start_serving(
        loop,
        protocol_factory: _ProtocolFactory,
        sock: socket,
        sslcontext: _ssl.SSLContext | None = None,
        server: asyncio.Server | None = None,
        backlog: int = 100,
        ssl_handshake_timeout: float | None = ...,
        ssl_shutdown_timeout: float | None = ...,
        context: Context | None = None,
    ) -> None: ...
    def _stop_serving(loop, sock: socket) -> None: ...

    # ---- Processes

    async def subprocess_exec(
        loop,
        protocol_factory: Callable[[], _ProtocolT],
        program: Any,
        *args: Any,
        stdin: int | IO[Any] | None = -1,
        stdout: int | IO[Any] | None = -1,
        stderr: int | IO[Any] | None = -1,
        universal_newlines: bool = False,
        shell: bool = False,
        bufsize: int = 0,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        **options: Any,
    ) -> tuple[asyncio.SubprocessTransport, _ProtocolT]: ...
    async def subprocess_shell(
        loop,
        protocol_factory: Callable[[], _ProtocolT],
        cmd: bytes | str,
        *,
        stdin: int | IO[Any] | None = -1,
        stdout: int | IO[Any] | None = -1,
        stderr: int | IO[Any] | None = -1,
        universal_newlines: bool = False,
        shell: bool = True,
        bufsize: int = 0,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        **options: Any,
    ) -> tuple[asyncio.SubprocessTransport, _ProtocolT]: ...
