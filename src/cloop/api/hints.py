"""Names for the types that the functions of this room pass around. Only type checkers import it."""

from asyncio import AbstractEventLoop, BaseProtocol
from collections.abc import Callable
from os import PathLike
from ssl import SSLContext
from typing import Any

# What is known of an error, for an exception handler.
ErrorContext = dict[str, Any]
ExceptionHandler = Callable[[AbstractEventLoop, ErrorContext], object]

ProtocolFactory = Callable[[], BaseProtocol]

# The argument `ssl`: a context, True for a default one, None or False for no TLS.
SSLArgument = SSLContext | bool | None

# As of socket.getaddrinfo: family, type, protocol, canonical name, address.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

# Where a Unix server is.
UnixPath = str | bytes | PathLike[str] | PathLike[bytes]
