"""What the ssl module has no methods for, by functions of the OpenSSL that it has loaded."""

import _ssl
import ctypes
import ssl
import sys

import pytest

KEY_UPDATE_REQUESTED = 1
ALLOW_CLIENT_RENEGOTIATION = 1 << 8

# Of `_ssl`'s private struct: after the object's head and another pointer stands the SSL *.
SSL_POINTER = object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)


def call(name: str, tls: ssl.SSLObject, *arguments: int) -> int:
    """Call a function that takes an SSL *; skips the test where that is not to be had."""
    try:
        function = getattr(ctypes.PyDLL(_ssl.__file__), name)
    except (AttributeError, OSError):
        pytest.skip("the interpreter hides OpenSSL")
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("objects have another head")
    pointer = ctypes.c_void_p.from_address(id(tls._sslobj) + SSL_POINTER)
    return function(pointer, *arguments)


def update_keys(tls: ssl.SSLObject) -> None:
    """Have new keys go with what is written next, and ask the other side for new ones of its own."""
    assert call("SSL_key_update", tls, KEY_UPDATE_REQUESTED) == 1


def ask_to_renegotiate(tls: ssl.SSLObject) -> None:
    """Begin another handshake within the connection: a client by a ClientHello, a server by asking."""
    assert call("SSL_renegotiate", tls) == 1
    call("SSL_do_handshake", tls)
