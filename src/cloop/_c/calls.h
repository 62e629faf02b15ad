/* What Cython can't say about the coroutines of streams (api/streamio). */
#ifndef CLOOP_CALLS_H
#define CLOOP_CALLS_H

#include "awaitable.h"

#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#endif

CLOOP_AWAITABLE(cloop_call)
static int (*cloop_call_own_advance)(PyObject *, PyObject **);
static int (*cloop_call_empty)(PyObject *);
static destructor cloop_call_plain_dealloc;

/* A call is made for each message: those that are over, and that nobody holds any more, are kept for the next
 * ones. They never die, which costs most. They have no lock. */
#define CLOOP_CALL_SPARES 4
static PyObject *cloop_call_spares[CLOOP_CALL_SPARES];
static int cloop_call_spare_count;

/* One of them, with its reference. One that somebody has found by way of the collector, or watches, is not
 * ours any more. */
static PyObject *cloop_call_spare(void) {
  while (cloop_call_spare_count > 0) {
    PyObject *spare = cloop_call_spares[--cloop_call_spare_count];
    if (Py_REFCNT(spare) == 1 && !cloop_has_weakrefs(spare)) return spare;
    Py_DECREF(spare);
  }
  return NULL;
}

/* An exception is no result: as the interpreter's coroutines, one of ours can't raise a StopIteration. */
static void cloop_call_refuse_stop(void) {
  PyObject *stop = cloop_take_exception(), *error;
  PyErr_SetString(PyExc_RuntimeError, "coroutine raised StopIteration");
  error = cloop_take_exception();
  PyException_SetCause(error, Py_NewRef(stop));
  PyException_SetContext(error, stop);
  cloop_set_exception(error);
  Py_DECREF(error);
}

static int cloop_call_step(PyObject *self, PyObject **result) {
  int status = cloop_call_own_advance(self, result);
  if (status == PYGEN_ERROR && PyErr_ExceptionMatches(PyExc_StopIteration)) cloop_call_refuse_stop();
  return status;
}

/* Whether it was finalized, which is done once, or the collector is about to clear it as garbage. Its
 * header lies before the object: the first two bits of the second word say that. */
#ifdef Py_GIL_DISABLED
#define cloop_call_is_spent(self) ((void)(self), 0)
#else
#define cloop_call_is_spent(self) ((((uintptr_t *)(self))[-1] & 3) != 0)
#endif

/* As the interpreter does for a coroutine that was never begun. Whatever is raised already stays so. */
static void cloop_call_warn(PyObject *self) {
  PyObject *raised = cloop_take_exception();
  PyObject *module = NULL, *warn = NULL, *result = NULL, *name = PyUnicode_FromString("warnings");
  /* At the end of the interpreter there may be none. */
  if (name != NULL) module = PyImport_GetModule(name);
  if (module != NULL) warn = PyObject_GetAttrString(module, "_warn_unawaited_coroutine");
  if (warn != NULL) {
    result = PyObject_CallOneArg(warn, self);
  } else {
    PyErr_Clear();
    Py_XSETREF(name, PyObject_GetAttrString(self, "__qualname__"));
    if (name != NULL && PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%S' was never awaited", name) == 0)
      result = Py_NewRef(Py_None);
  }
  if (result == NULL) {
#if PY_VERSION_HEX >= 0x030E0000
    PyErr_FormatUnraisable("Exception ignored while finalizing coroutine %R", self);
#else
    PyErr_WriteUnraisable(self);
#endif
  }
  Py_XDECREF(result);
  Py_XDECREF(warn);
  Py_XDECREF(module);
  Py_XDECREF(name);
  if (raised != NULL) {
    cloop_set_exception(raised);
    Py_DECREF(raised);
  }
}

/* Cython calls no finalizer for a type that has another tp_dealloc than its own. */
static void cloop_call_end(PyObject *self) {
  if (PyObject_CallFinalizerFromDealloc(self) == 0) cloop_call_plain_dealloc(self);
}

/* In the place of Cython's. While its fields are emptied it is alive: that may run other code. One that
 * the collector has found to be garbage, and will clear, is of no use to anybody. */
static void cloop_call_dealloc(PyObject *self) {
  int empty;
  if (cloop_has_weakrefs(self)) {
    /* Who watches it is to hear of its end. */
    cloop_forget_result();
    cloop_call_end(self);
    return;
  }
  Py_SET_REFCNT(self, 1);
  empty = cloop_call_empty(self);
  cloop_forget_result();
  if (Py_REFCNT(self) > 1) {
    /* Somebody has found it, by way of the collector. */
    Py_SET_REFCNT(self, Py_REFCNT(self) - 1);
  } else if (empty && cloop_call_spare_count < CLOOP_CALL_SPARES && !cloop_call_is_spent(self)) {
    cloop_call_spares[cloop_call_spare_count++] = self;
  } else {
    Py_SET_REFCNT(self, 0);
    cloop_call_end(self);
  }
}

/* Where the instances of a class have one of its slots. */
static Py_ssize_t cloop_call_offset(PyObject *type, const char *name) {
  Py_ssize_t offset = -1;
  PyObject *slot = PyObject_GetAttrString(type, name);
  if (slot == NULL) return -1;
  if (Py_TYPE(slot) == &PyMemberDescr_Type) offset = ((PyMemberDescrObject *)slot)->d_member->offset;
  else PyErr_SetString(PyExc_TypeError, "not a slot");
  Py_DECREF(slot);
  return offset;
}
static inline PyObject *cloop_call_in_slot(PyObject *instance, Py_ssize_t offset) {
  return *(PyObject **)((char *)instance + offset);
}

/* How many callers a coroutine notes that is made now (sys.set_coroutine_origin_tracking_depth). */
static inline int cloop_call_origin_depth(void) {
#if PY_VERSION_HEX >= 0x030D0000
  return PyThreadState_GetUnchecked()->coroutine_origin_tracking_depth;
#else
  return _PyThreadState_UncheckedGet()->coroutine_origin_tracking_depth;
#endif
}

/* An attribute that is the instance's own: of a class of ours, which has none of that name. */
static PyObject *cloop_call_attribute(PyObject *instance, PyObject *name) {
#if PY_VERSION_HEX >= 0x030D0000
  /* Before, asking for the dict would end the specialized look-up of methods. */
  PyObject *dict = PyObject_GenericGetDict(instance, NULL);
  if (dict == NULL) return NULL;
  PyObject *value = PyDict_GetItemWithError(dict, name);
  Py_XINCREF(value);
  Py_DECREF(dict);
  if (value != NULL || PyErr_Occurred()) return value;
#endif
  return PyObject_GetAttr(instance, name);
}

/* Whether a transport of ours, whose type has a dict for its instances, has attributes of its own. */
static inline int cloop_call_has_attributes(PyObject *transport) {
  PyObject *dict = *(PyObject **)((char *)transport + Py_TYPE(transport)->tp_dictoffset);
  return dict != NULL && PyDict_Check(dict) && PyDict_GET_SIZE(dict) != 0;
}

static void cloop_call_set_up(PyTypeObject *type, int (*advance)(PyObject *, PyObject **),
                              int (*empty)(PyObject *), void (*finalize)(PyObject *)) {
  cloop_call_own_advance = advance;
  cloop_call_empty = empty;
  cloop_call_plain_dealloc = type->tp_dealloc;
  type->tp_dealloc = CLOOP_KEEPS_SPARES ? cloop_call_dealloc : cloop_call_end;
  type->tp_finalize = finalize;
  cloop_call_install(type, cloop_call_step);
}

#endif
