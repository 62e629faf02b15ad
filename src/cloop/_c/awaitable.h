/* What `await` calls of an object of ours, in C.
 *
 * Two slots let an object be awaited: tp_iternext, by which an interpreter's coroutine waits, and am_send,
 * by which C does. Cython has no way to say am_send; and what it raises gets a frame and a traceback entry, also
 * the StopIteration that carries a result. To make, complete and await a future takes so many instructions
 * with both slots made here, and took so many with Cython's `raise` (CPython 3.13): with a value 5,182 and
 * 7,579, with an error 6,619 and 14,766, cancelled 7,651 and 12,789.
 *
 * So a class has one function that says how far the await has come, and CLOOP_AWAITABLE makes both slots of it:
 *
 *   int advance(PyObject *self, PyObject **result)
 *
 * returns PYGEN_NEXT with what to wait for, PYGEN_RETURN with the result, or PYGEN_ERROR with an exception
 * set and without a result. */
#ifndef CLOOP_AWAITABLE_H
#define CLOOP_AWAITABLE_H

#include "compat.h"

/* Nothing of it is kept where checkers of memory would miss it, and where a count does not say who holds it. */
#if CLOOP_DEBUG || defined(Py_GIL_DISABLED) || defined(Py_REF_DEBUG)
#define CLOOP_KEEPS_SPARES 0
#else
#define CLOOP_KEEPS_SPARES 1
#endif

#if PY_VERSION_HEX >= 0x030C0000
/* The exception that carried the last result, to carry the next one: who catches it takes its value and
 * lets it go at once, and to make one costs more than all else. Between two results it has neither a value nor
 * arguments. */
static PyStopIterationObject *cloop_kept_stop;

static int cloop_is_unchanged_stop(PyStopIterationObject *stop) {
  return Py_REFCNT(stop) == 1 && stop->traceback == NULL && stop->context == NULL && stop->cause == NULL &&
         !stop->suppress_context && stop->dict == NULL && stop->notes == NULL;
}

/* Raises StopIteration(value). */
static void cloop_stop(PyObject *value) {
  PyStopIterationObject *stop = cloop_kept_stop;
  PyObject *args = PyTuple_Pack(1, value);
  if (args == NULL) return;
  cloop_kept_stop = NULL;
  if (stop != NULL && !cloop_is_unchanged_stop(stop)) Py_CLEAR(stop);
  if (stop == NULL) stop = (PyStopIterationObject *)PyObject_CallNoArgs(PyExc_StopIteration);
  if (stop != NULL) {
    Py_XSETREF(stop->value, Py_NewRef(value));
    Py_XSETREF(stop->args, Py_NewRef(args));
    if (CLOOP_KEEPS_SPARES && cloop_kept_stop == NULL)
      cloop_kept_stop = (PyStopIterationObject *)Py_NewRef((PyObject *)stop);
    PyErr_SetRaisedException((PyObject *)stop);
  }
  Py_DECREF(args);
}

/* The result has been taken: it shall not live longer for us. */
static inline void cloop_forget_result(void) {
  PyStopIterationObject *stop = cloop_kept_stop;
  if (stop == NULL || stop->value == NULL || Py_REFCNT(stop) != 1) return;
  /* What goes may run code that comes here again. */
  cloop_kept_stop = NULL;
  Py_XSETREF(stop->args, PyTuple_New(0));
  Py_CLEAR(stop->value);
  if (cloop_kept_stop == NULL && stop->args != NULL) cloop_kept_stop = stop;
  else Py_DECREF(stop);
}
#else
/* There an exception is made only when somebody looks at it; a tuple would be taken for its arguments. */
static void cloop_stop(PyObject *value) { _PyGen_SetStopIterationValue(value); }
static inline void cloop_forget_result(void) {}
#endif

static inline PyObject *cloop_next(int status, PyObject *result) {
  if (status != PYGEN_RETURN) return result;
  if (result != Py_None) cloop_stop(result);
  Py_DECREF(result);
  return NULL;
}

#define CLOOP_AWAITABLE(NAME)                                                                      \
  static int (*NAME##_advance)(PyObject *, PyObject **);                                           \
  static PySendResult NAME##_send(PyObject *self, PyObject *Py_UNUSED(value), PyObject **result) { \
    *result = NULL; /* what it must be with PYGEN_ERROR: a debug build of CPython asserts that */  \
    return (PySendResult)NAME##_advance(self, result);                                             \
  }                                                                                                \
  static PyObject *NAME##_next(PyObject *self) {                                                   \
    PyObject *result = NULL;                                                                       \
    int status = NAME##_advance(self, &result);                                                    \
    return cloop_next(status, result);                                                             \
  }                                                                                                \
  static void NAME##_install(PyTypeObject *type, int (*advance)(PyObject *, PyObject **)) {        \
    NAME##_advance = advance;                                                                      \
    type->tp_iternext = NAME##_next;                                                               \
    type->tp_as_async->am_send = NAME##_send;                                                      \
    PyType_Modified(type);                                                                         \
  }

/* The method throw(), by which an exception comes to where a coroutine waits. As the interpreter calls it,
 * with an exception alone, it is done here; with other arguments by `other`, which raises. `release` ends the
 * wait. Each error that Cython raises would get a frame and a traceback entry, as above. */
#define CLOOP_THROWS(NAME)                                                                         \
  static int (*NAME##_release)(PyObject *);                                                        \
  static PyObject *(*NAME##_other)(PyObject *, PyObject *);                                        \
  static PyObject *NAME##_throw(PyObject *self, PyObject *const *args, Py_ssize_t count) {         \
    PyObject *packed, *result = NULL;                                                              \
    if (count == 1 && PyExceptionInstance_Check(args[0])) {                                        \
      if (NAME##_release(self) == 0) cloop_set_exception(args[0]);                                 \
      return NULL;                                                                                 \
    }                                                                                              \
    packed = PyTuple_New(count);                                                                   \
    if (packed == NULL) return NULL;                                                               \
    for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(packed, i, Py_NewRef(args[i]));        \
    result = NAME##_other(self, packed);                                                           \
    Py_DECREF(packed);                                                                             \
    return result;                                                                                 \
  }                                                                                                \
  static PyMethodDef NAME##_throw_method = {"throw", (PyCFunction)(void (*)(void))NAME##_throw,    \
                                            METH_FASTCALL, CLOOP_THROW_DOC};                       \
  static int NAME##_install_throw(PyTypeObject *type, int (*release)(PyObject *),                  \
                                  PyObject *(*other)(PyObject *, PyObject *)) {                    \
    PyObject *method = PyDescr_NewMethod(type, &NAME##_throw_method);                              \
    int failed = method == NULL || PyDict_SetItemString(type->tp_dict, "throw", method) < 0;       \
    NAME##_release = release;                                                                      \
    NAME##_other = other;                                                                          \
    Py_XDECREF(method);                                                                            \
    PyType_Modified(type);                                                                         \
    return failed ? -1 : 0;                                                                        \
  }
#define CLOOP_THROW_DOC                                                                            \
  "throw($self, typ, val=None, tb=None, /)\n--\n\n"                                                \
  "Raise an exception where the await waits."

#endif
