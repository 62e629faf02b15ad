"""The two engines of TLS; engine.pxd is the manual."""

import os

try:
    import _ssl
    import ssl
except ImportError:  # a Python that was built without OpenSSL
    _ssl = ssl = None

from cloop import _settings

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from libc.limits cimport INT_MAX
from libc.string cimport memcpy, strstr

from cloop._c.dl cimport RTLD_NOLOAD, RTLD_NOW, dlopen, dlsym
from cloop._c.openssl cimport (
    SSL_ERROR_WANT_READ,
    SSL_ERROR_ZERO_RETURN,
    SSL_OP_ALLOW_CLIENT_RENEGOTIATION,
    SSL_OP_NO_RENEGOTIATION,
    SSL_RECEIVED_SHUTDOWN,
    bio_pending_t,
    bio_read_t,
    bio_write_t,
    clear_error_t,
    do_handshake_t,
    error_string_t,
    get_cipher_t,
    get_error_t,
    get_ex_data_t,
    get_pointer_t,
    get_shutdown_t,
    peek_error_t,
    read_ex_t,
    write_ex_t,
)
from cloop._c.pyapi cimport CLOOP_HAS_GIL, NoResult, cloop_seal
from cloop.core.shared cimport code_may_run, leave_memory
from cloop.transports.scratch cimport copy_out

cdef:
    do_handshake_t SSL_do_handshake
    read_ex_t SSL_read_ex
    write_ex_t SSL_write_ex
    get_error_t SSL_get_error
    get_shutdown_t SSL_get_shutdown
    get_ex_data_t SSL_get_ex_data
    get_pointer_t SSL_get_SSL_CTX
    get_pointer_t SSL_get_rbio
    get_pointer_t SSL_get_wbio
    get_pointer_t SSL_get0_peer_certificate  # NULL before OpenSSL 3.0
    get_cipher_t SSL_get_cipher_list
    clear_error_t ERR_clear_error
    peek_error_t ERR_peek_last_error
    error_string_t ERR_reason_error_string
    bio_read_t BIO_read
    bio_write_t BIO_write
    bio_pending_t BIO_ctrl_pending

# What asyncio waits for more after.
cdef tuple again_errors = () if ssl is None else (ssl.SSLWantReadError, ssl.SSLSyscallError)
cdef object object_class = None if ssl is None else ssl.SSLObject
cdef object socket_type = None if ssl is None else _ssl._SSLSocket


# Past the properties of ssl.SSLContext, which look for what a function has inside, or make an enum.
cdef object msg_callback = None if ssl is None else _ssl._SSLContext._msg_callback.__get__
cdef object context_options = None if ssl is None else _ssl._SSLContext.options.__get__
cdef object context_protocol = None if ssl is None else _ssl._SSLContext.protocol.__get__
cdef int TLS_CLIENT = -1 if ssl is None else ssl.PROTOCOL_TLS_CLIENT
cdef bint takes_psk = ssl is not None and hasattr(ssl.SSLContext, "set_psk_client_callback")


# ---- Through the object's methods


cdef class TlsEngine:
    """What both engines have."""

    cdef NoResult feed(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        self.incoming.write(copy_out(start, size))
        return NoResult.OK

    cdef Py_ssize_t read(self, char *to, Py_ssize_t size) except -2:
        cdef bytes data = None
        code_may_run()
        try:
            # It makes an object of the size that it is asked for; a record has no more.
            data = self.sslobj.read(min(size, <Py_ssize_t>RECORD))
        except again_errors:
            pass
        if data is None:
            return AGAIN
        if PyBytes_GET_SIZE(data) > size:
            raise ValueError("SSLObject.read() returned more than was asked for")
        memcpy(to, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        return PyBytes_GET_SIZE(data)

    cdef Py_ssize_t read_again(self) except -2:
        return AGAIN

    cdef Py_ssize_t write_again(self, const char *start, Py_ssize_t size) except -2:
        return AGAIN

    cdef Py_ssize_t write(self, const char *start, Py_ssize_t size) except -2:
        cdef Py_ssize_t written = AGAIN
        code_may_run()
        try:
            written = self.sslobj.write(PyBytes_FromStringAndSize(start, size))
        except again_errors:
            pass
        if written != AGAIN and not 0 < written <= size:
            raise ValueError("SSLObject.write() returned what cannot be")
        return written

    cdef Py_ssize_t take(self, char *to, Py_ssize_t size) except -2:
        raise NotImplementedError

    cdef bytes take_all(self):
        return self.outgoing.read()

    cdef Py_ssize_t unread(self) except -1:
        return self.incoming.pending

    cdef Py_ssize_t unsent(self) except -1:
        return self.outgoing.pending

    cdef bint shake_hands(self) except -1:
        cdef bint done = False
        try:
            self.sslobj.do_handshake()
            done = True
        except again_errors:
            pass
        return done

    cdef bint shut_down(self) except -1:
        cdef bint done = False
        try:
            self.sslobj.unwrap()
            done = True
        except again_errors:
            pass
        return done

    cdef object peercert(self):
        return self.sslobj.getpeercert()


cdef class ObjectEngine(TlsEngine):
    """Moves bytes by the methods of the SSLObject and its BIOs."""


# ---- Through OpenSSL


cdef class DirectEngine(TlsEngine):
    """Moves bytes by OpenSSL's functions."""

    cdef bint adopt(self, bint server_side) except -1:
        """Look at the object from within; whether it is what it should be."""
        if type(self.sslobj) is not object_class or type(self.sslobj._sslobj) is not socket_type:
            return False
        self.keeper = self.sslobj._sslobj
        self.ssl = ssl_of(self.keeper)
        if SSL_get_ex_data(self.ssl, 0) != <void *>self.keeper:
            return False
        if calls_back(self.ssl, self.keeper.context, server_side):
            return False
        self.rbio = SSL_get_rbio(self.ssl)
        self.wbio = SSL_get_wbio(self.ssl)
        self.direct = True
        self.server_side = server_side
        return self.rbio != NULL and self.wbio != NULL

    cdef NoResult feed(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        cdef int step
        while size > 0:
            step = <int>min(size, <Py_ssize_t>INT_MAX)
            if BIO_write(self.rbio, start, step) != step:
                leave_memory()
                raise MemoryError
            start += step
            size -= step
        return NoResult.OK

    cdef Py_ssize_t read(self, char *to, Py_ssize_t size) except -2:
        cdef size_t n = 0
        cdef int error
        # SSL_get_error looks at what is left there of other people's failures.
        ERR_clear_error()
        if SSL_read_ex(self.ssl, to, size, &n) == 1:
            return n
        error = SSL_get_error(self.ssl, 0)
        if error == SSL_ERROR_WANT_READ:
            return AGAIN
        if (error == SSL_ERROR_ZERO_RETURN
                and SSL_get_shutdown(self.ssl) == SSL_RECEIVED_SHUTDOWN):
            return 0
        self.refused = error
        self.refusal = ERR_peek_last_error()
        return REFUSED

    cdef bint shake_hands(self) except -1:
        cdef void *one = self.ssl
        cdef int result, error
        cdef unsigned long code
        # The client begins. To ask OpenSSL before it has costs an error that is made and dropped.
        if self.server_side and BIO_ctrl_pending(self.rbio) == 0:
            return False
        ERR_clear_error()
        with nogil:
            result = SSL_do_handshake(one)
        if result == 1:
            return True
        error = SSL_get_error(one, result)
        if error == SSL_ERROR_WANT_READ:
            return False
        # It fails again in the same way, and what it said the first time is still there. But of what is no
        # TLS at all OpenSSL 3.6 says so once, and then waits for more.
        code = ERR_peek_last_error()
        if TlsEngine.shake_hands(self):
            return True
        if code != 0:
            raise error_of(code, error)
        return False

    cdef Py_ssize_t read_again(self) except -2:
        """SSL_read failed: the exception, as the object makes it.

        OpenSSL fails again in the same way; and what it said the first time is still there, where the
        object looks for the reason.
        """
        cdef unsigned long code = self.refusal
        code_may_run()
        try:
            self.sslobj.read(1)
        except again_errors:
            pass
        except ssl.SSLError as exc:
            if code == 0 or exc.library is not None or type(exc) is not ssl.SSLEOFError:
                raise
        if code == 0:
            return AGAIN
        raise error_of(code, self.refused)

    cdef Py_ssize_t write(self, const char *start, Py_ssize_t size) except -2:
        cdef size_t n = 0
        ERR_clear_error()
        if SSL_write_ex(self.ssl, start, size, &n) == 1:
            return n
        if SSL_get_error(self.ssl, 0) == SSL_ERROR_WANT_READ:
            return AGAIN
        return REFUSED

    cdef Py_ssize_t write_again(self, const char *start, Py_ssize_t size) except -2:
        """SSL_write failed: once more by the object, which makes the exception."""
        return TlsEngine.write(self, start, size)

    cdef Py_ssize_t take(self, char *to, Py_ssize_t size) except -2:
        cdef int n = BIO_read(self.wbio, to, <int>min(size, <Py_ssize_t>INT_MAX))
        # -1: it is empty.
        return max(n, 0)

    cdef bytes take_all(self):
        cdef bytes data = PyBytes_FromStringAndSize(NULL, self.unsent())
        self.take(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        return data

    cdef object peercert(self):
        # A client, as a rule, has none.
        if SSL_get0_peer_certificate != NULL and SSL_get0_peer_certificate(self.ssl) == NULL:
            return None
        return TlsEngine.peercert(self)

    cdef Py_ssize_t unread(self) except -1:
        return BIO_ctrl_pending(self.rbio)

    cdef Py_ssize_t unsent(self) except -1:
        return BIO_ctrl_pending(self.wbio)


cdef bint calls_back(void *one, object context, bint server_side) except -1:
    """Whether SSL_read or SSL_write may run code of Python's after the first handshake.

    The callback for the server's name is the context's, and may be set or replaced at any time; so what
    counts is not whether there is one, but whether another handshake may ever ask for it. The others, of
    messages and of pre-shared keys, are taken over when the connection is made.
    """
    cdef object options
    if msg_callback(context) is not None or context.keylog_filename is not None:
        return True
    options = context_options(context)
    if options & SSL_OP_NO_RENEGOTIATION:
        return False
    if not server_side:
        # The server may ask for another handshake. A context that is for clients alone refuses a callback
        # for names.
        return context_protocol(context) != TLS_CLIENT or offers_psk(one)
    return ssl.OPENSSL_VERSION_INFO < (3,) or options & SSL_OP_ALLOW_CLIENT_RENEGOTIATION


cdef bint offers_psk(void *one) noexcept:
    """Whether a handshake may ask for a pre-shared key: nobody tells whether there is a callback."""
    cdef const char *name
    cdef int i = 0
    if not takes_psk or SSL_get_cipher_list == NULL:
        return takes_psk
    while True:
        name = SSL_get_cipher_list(one, i)
        if name == NULL:
            return False
        if strstr(name, b"PSK") != NULL:
            return True
        i += 1


cdef object error_of(unsigned long code, int error):
    """An SSLError much like the one that _ssl would make of an error of OpenSSL's."""
    cdef const char *text = ERR_reason_error_string(code)
    cdef str words = "unknown error" if text == NULL else text.decode("ascii", "replace")
    cdef str reason = words.upper().replace(" ", "_")
    exception = ssl.SSLError(error, f"[SSL: {reason}] {words}")
    exception.reason = reason
    exception.library = "SSL"
    return exception


# ---- Which one


cdef inline void *word_of(object o, int index) noexcept:
    """A pointer that stands in an object behind its head."""
    return (<void **>(<char *>(<PyObject *>o) + sizeof(PyObject)))[index]


cdef inline void *ssl_of(object sslsocket) noexcept:
    return word_of(sslsocket, 1)


cdef void *address(void *library, const char *name) except NULL:
    cdef void *found = dlsym(library, name)
    if found == NULL:
        raise LookupError(f"there is no {name.decode()}")
    return found


cdef NoResult load() except NoResult.EXC:
    """Find OpenSSL's functions. Raises LookupError where they are hidden."""
    global SSL_do_handshake, SSL_read_ex, SSL_write_ex, SSL_get_error, SSL_get_shutdown, SSL_get_ex_data
    global SSL_get_SSL_CTX, SSL_get_rbio, SSL_get_wbio, ERR_clear_error, ERR_peek_last_error
    global SSL_get0_peer_certificate, SSL_get_cipher_list, ERR_reason_error_string
    global BIO_read, BIO_write, BIO_ctrl_pending
    cdef str path = getattr(_ssl, "__file__", None) or ""
    # That of an extension which is loaded already, or none.
    cdef void *library = dlopen(os.fsencode(path), RTLD_NOW | RTLD_NOLOAD) if path else NULL
    if library == NULL:
        raise LookupError("the _ssl extension is no library of its own")
    SSL_do_handshake = <do_handshake_t>address(library, "SSL_do_handshake")
    SSL_read_ex = <read_ex_t>address(library, "SSL_read_ex")
    SSL_write_ex = <write_ex_t>address(library, "SSL_write_ex")
    SSL_get_error = <get_error_t>address(library, "SSL_get_error")
    SSL_get_shutdown = <get_shutdown_t>address(library, "SSL_get_shutdown")
    SSL_get_ex_data = <get_ex_data_t>address(library, "SSL_get_ex_data")
    SSL_get_SSL_CTX = <get_pointer_t>address(library, "SSL_get_SSL_CTX")
    SSL_get_rbio = <get_pointer_t>address(library, "SSL_get_rbio")
    SSL_get_wbio = <get_pointer_t>address(library, "SSL_get_wbio")
    SSL_get0_peer_certificate = <get_pointer_t>dlsym(library, "SSL_get0_peer_certificate")
    SSL_get_cipher_list = <get_cipher_t>dlsym(library, "SSL_get_cipher_list")
    ERR_clear_error = <clear_error_t>address(library, "ERR_clear_error")
    ERR_peek_last_error = <peek_error_t>address(library, "ERR_peek_last_error")
    ERR_reason_error_string = <error_string_t>address(library, "ERR_reason_error_string")
    BIO_read = <bio_read_t>address(library, "BIO_read")
    BIO_write = <bio_write_t>address(library, "BIO_write")
    BIO_ctrl_pending = <bio_pending_t>address(library, "BIO_ctrl_pending")
    return NoResult.OK


cdef NoResult check_layout() except NoResult.EXC:
    """Look whether _ssl's objects are what we take them for. Raises LookupError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    cdef object wrapped = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
    cdef object inner = wrapped._sslobj
    cdef Py_ssize_t head = sizeof(PyObject)
    if (type(inner) is not socket_type or socket_type.__basicsize__ < head + 3 * sizeof(void *)
            or _ssl._SSLContext.__basicsize__ < head + <Py_ssize_t>sizeof(void *)):
        raise LookupError("the ssl module's objects are others")
    # Before the pointer between is used: no socket on one side of it, on the other the context.
    if word_of(inner, 0) != NULL or word_of(inner, 2) != <void *>context or ssl_of(inner) == NULL:
        raise LookupError("the ssl module's objects are laid out otherwise")
    if (SSL_get_ex_data(ssl_of(inner), 0) != <void *>inner
            or SSL_get_SSL_CTX(ssl_of(inner)) != word_of(context, 0)):
        raise LookupError("OpenSSL does not know the ssl module's objects")
    return NoResult.OK


def _choose():
    """Whether OpenSSL is called directly, and why not."""
    cdef str wish = _settings.IN_EFFECT["CLOOP_TLS_ENGINE"]
    if ssl is not None and wish == "object":
        return False, "CLOOP_TLS_ENGINE"
    cdef str hidden = ""
    try:
        if ssl is None:
            raise LookupError("there is no ssl module")
        if not CLOOP_HAS_GIL:
            # _ssl has a lock for each object, which we would go past.
            raise LookupError("this build of Python has no GIL")
        load()
        check_layout()
    except (LookupError, AttributeError, OSError) as exc:
        if wish == "openssl":
            _settings.refuse(f"CLOOP_TLS_ENGINE=openssl: {exc}")
        hidden = str(exc) or type(exc).__name__
    return not hidden, hidden


cdef bint uses_openssl
cdef str reason
uses_openssl, reason = _choose()


def describe_engine():
    """Which engine moves the bytes of TLS, for people."""
    if ssl is None:
        return reason
    if uses_openssl:
        return f"{ssl.OPENSSL_VERSION}, called directly"
    return f"{ssl.OPENSSL_VERSION}, by the ssl module ({reason})"


cdef TlsEngine new_engine(object context, bint server_side, object server_hostname):
    cdef DirectEngine direct
    cdef TlsEngine engine
    incoming = ssl.MemoryBIO()
    outgoing = ssl.MemoryBIO()
    sslobj = context.wrap_bio(incoming, outgoing, server_side=server_side,
                              server_hostname=server_hostname)
    if uses_openssl:
        direct = DirectEngine()
        direct.sslobj = sslobj
        if direct.adopt(server_side):
            return direct
    engine = ObjectEngine()
    engine.sslobj = sslobj
    engine.incoming = incoming
    engine.outgoing = outgoing
    return engine


cdef TlsEngine spent_engine():
    cdef TlsEngine engine = ObjectEngine()
    engine.incoming = ssl.MemoryBIO()
    engine.outgoing = ssl.MemoryBIO()
    return engine


cloop_seal(<PyTypeObject *>TlsEngine)
