from typing import final

from _typeshed import ReadableBuffer

from cloop.transports.tls_base import TlsBase

@final
class TlsTransport(TlsBase): ...

def copy_of(data: ReadableBuffer) -> bytes: ...
