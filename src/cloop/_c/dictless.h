/* Instances of a class with `cdef dict __dict__` that are made without a dict (aio/future).
 *
 * A class has a dict for its instances so that anybody may set attributes; hardly anybody does. But the
 * compiler writes `p->__dict__ = PyDict_New();` into tp_new, right after the memory was allocated, and knows
 * no way not to. __cinit__ drops it (cloop_drop_instance_dict), which is enough for what is made once a
 * connection. A future is made for every wait, and there to make a dict for nothing costs 17 ns of 105
 * (loop.create_future(), CPython 3.13).
 *
 * So in the one module that includes this, PyDict_New() is a function that gives the first call after an
 * allocation, which is that line of tp_new, one and the same empty dict, for __cinit__ to drop. It is never
 * seen by anybody. All other calls are CPython's. */
#ifndef CLOOP_DICTLESS_H
#define CLOOP_DICTLESS_H

#include "compat.h"

static PyObject *(*cloop_plain_alloc)(PyTypeObject *, Py_ssize_t);
static PyObject *cloop_no_dict;
static int cloop_dict_is_next;

static PyObject *cloop_alloc_dictless(PyTypeObject *type, Py_ssize_t n) {
  PyObject *self = cloop_plain_alloc(type, n);
  cloop_dict_is_next = self != NULL && cloop_no_dict != NULL;
  return self;
}

static inline PyObject *cloop_dict_new(void) {
  if (!cloop_dict_is_next) return PyDict_New();
  cloop_dict_is_next = 0;
  return Py_NewRef(cloop_no_dict);
}

/* Classes that inherit from it in Python have CPython's tp_alloc, and a dict that __cinit__ drops. With
 * several threads at once, the next call might be another thread's. */
static inline void cloop_make_dictless(PyTypeObject *type) {
#ifdef Py_GIL_DISABLED
  (void)type;
#else
  cloop_plain_alloc = type->tp_alloc;
  cloop_no_dict = PyDict_New();
  PyErr_Clear();
  type->tp_alloc = cloop_alloc_dictless;
#endif
}

#define PyDict_New cloop_dict_new

#endif
