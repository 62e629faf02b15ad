"""Handles that the collector does not know; untracked.pxd is the manual."""

from cpython.object cimport PyObject, PyTypeObject

from cloop._c.pyapi cimport Py_DECREF, Py_TYPE, PyObject_GC_UnTrack, cloop_has_weakrefs
from cloop.core.handle cimport Handle, set_up

cdef extern from *:
    """
    /* Handles that have run, with empty fields: the process's, as memory is. They have no lock, and the
     * memory checkers would miss them. */
    #if CLOOP_DEBUG || defined(Py_GIL_DISABLED)
    static inline PyObject *take_spare(void) { return NULL; }
    static inline int keep_spare(PyObject *self) { (void)self; return 0; }
    #else
    static PyObject *spare[16384];
    static size_t spare_count;
    static inline PyObject *take_spare(void) { return spare_count > 0 ? spare[--spare_count] : NULL; }
    static inline int keep_spare(PyObject *self) {
      if (spare_count == sizeof spare / sizeof *spare) return 0;
      spare[spare_count++] = self;
      return 1;
    }
    #endif
    """
    PyObject *take_spare()  # NULL if there is none
    bint keep_spare(PyObject *handle)  # whether there was room for it


cdef Handle untracked_handle(object loop, object callback, tuple args, object context):
    cdef Handle self
    cdef PyObject *spare = take_spare()
    if spare != NULL:
        self = <Handle>spare
        Py_DECREF(spare)
    else:
        self = Handle.__new__(Handle)
        PyObject_GC_UnTrack(<PyObject *>self)
    set_up(self, loop, callback, args, context)
    return self


cdef void retire(PyObject *owner) noexcept:
    if (Py_TYPE(owner) == <PyTypeObject *>Handle and not (<Handle>owner).cancelled_
            and not cloop_has_weakrefs(owner)):
        PyObject_GC_UnTrack(owner)
        # What dies with these may run anything, but can't reach this handle.
        empty(<Handle>owner)
        if keep_spare(owner):
            return
    Py_DECREF(owner)


cdef inline void empty(Handle self) noexcept:
    self.callback = self.args = self.context = self.loop = None
    if self.origin is not None:
        self.origin = None
