from typing import final

from cloop.transports.tls_base import TlsBase

@final
class TlsTransport(TlsBase): ...
