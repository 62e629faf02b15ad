"""CPython's C API as cloop uses it, and the return type of helpers that are called for their effect."""

from cpython.object cimport PyObject, PyTypeObject

# What a helper without a result returns. `void` with an implicit exception check costs a call of
# PyErr_Occurred() after every call; this costs a comparison.
cdef enum NoResult:
    EXC = -1
    OK = 0

cdef extern from "Python.h":
    PyObject *Py_None
    void Py_INCREF(PyObject *)
    void Py_DECREF(PyObject *)
    void Py_XDECREF(PyObject *)
    Py_ssize_t Py_REFCNT(PyObject *)
    PyTypeObject *Py_TYPE(PyObject *)
    void PyObject_GC_UnTrack(PyObject *)

    ctypedef struct PyThreadState:
        pass
    PyThreadState *PyThreadState_Get()

    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    const int PY_VERSION_HEX
    bint PyCoro_CheckExact(object o)

    object PyContext_CopyCurrent()
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

    object PyObject_CallOneArg(object callable, object argument)

    unsigned long PyThread_get_thread_ident() nogil
    int PyErr_CheckSignals() except -1

    object PyWeakref_NewRef(object referent, object callback)

    bytes PyUnicode_EncodeFSDefault(str text)

cdef extern from "compat.h":
    const int CLOOP_DEBUG
    const bint CLOOP_HAS_GIL
    object cloop_take_exception()
    void cloop_set_exception(object exception)
    # The status is a PySendResult; with PYGEN_ERROR the exception is set, for the caller to take.
    object cloop_send(object coro, int *status)
    object cloop_throw(object coro, object exception, int *status)

    ctypedef struct cloop_mutex:
        pass
    void CLOOP_LOCK(cloop_mutex *mutex)
    void CLOOP_UNLOCK(cloop_mutex *mutex)

    # Sets the wake-up descriptor of signals without a look at it, so without a system call; returns the
    # one that was set. Only where there is such a thing.
    const bint CLOOP_CAN_SWAP_WAKEUP_FD
    int cloop_swap_wakeup_fd(int fd)

    void cloop_drop_instance_dict(object o)
    bint cloop_has_weakrefs(PyObject *object)
    void cloop_track(PyObject *object)

    # While it is made, an object is hidden from the collector and from finalizers.
    void cloop_hide(object o)
    void cloop_show(object o)
    # For a type: its objects are hidden from the start, until cloop_show().
    void cloop_hide_new(PyTypeObject *type)
    # Python classes can't inherit from it.
    void cloop_seal(PyTypeObject *type)

    PyObject *cloop_list_take(PyObject *list, Py_ssize_t index)
    void cloop_prefetch(PyObject *object)
    void cloop_list_put_taken(PyObject *list, Py_ssize_t index, PyObject *item)
    void cloop_list_put(PyObject *list, Py_ssize_t index, PyObject *item)
