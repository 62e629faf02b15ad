/* The variables of a context, held without a context; core/snapshot.pxd is the manual. */
#ifndef CLOOP_SNAPSHOT_H
#define CLOOP_SNAPSHOT_H

#include "compat.h"

/* CPython's Context (Include/internal/pycore_context.h), the same in 3.11 to 3.15. Whether it is so
 * in the running interpreter is found out at import: see cloop_snapshots_probe. */
typedef struct {
  PyObject_HEAD
  PyObject *previous;
  PyObject *vars; /* an immutable map */
  PyObject *weakrefs;
  int entered;
} cloop_context;

/* One for all modules, which core/snapshot has: the first argument of all that follows. */
typedef struct {
  PyTypeObject *vars_type; /* NULL where contexts are not what we take them for */
  PyObject *no_vars;
  PyObject *spare; /* a context without variables, kept for the next call */
} cloop_snapshots;

/* PyContext_Enter and PyContext_Exit for who knows the thread's state. Up to 3.13 they only change what is
 * here; from 3.14 on they also tell watchers. */
#if PY_VERSION_HEX < 0x030E0000
static inline int cloop_enter_on(cloop_snapshots *shared, PyThreadState *state, PyObject *context) {
  cloop_context *self = (cloop_context *)context;
  if (shared->vars_type == NULL || !PyContext_CheckExact(context) || self->entered)
    return PyContext_Enter(context);
  self->previous = state->context;
  self->entered = 1;
  state->context = Py_NewRef(context);
  ++state->context_ver;
  return 0;
}

static inline int cloop_leave_on(cloop_snapshots *shared, PyThreadState *state, PyObject *context) {
  cloop_context *self = (cloop_context *)context;
  if (shared->vars_type == NULL || state->context != context) return PyContext_Exit(context);
  state->context = self->previous;
  self->previous = NULL;
  self->entered = 0;
  ++state->context_ver;
  Py_DECREF(context);
  return 0;
}
#else
#define cloop_enter_on(shared, state, context) ((void)(shared), (void)(state), PyContext_Enter(context))
#define cloop_leave_on(shared, state, context) ((void)(shared), (void)(state), PyContext_Exit(context))
#endif

/* Calls with `n` arguments in a context and drops the result: 0, or -1 with the exception set. */
static inline int cloop_vectorcall_in(cloop_snapshots *shared, PyObject *context, PyObject *callable,
                                      PyObject *const *args, Py_ssize_t n) {
  PyThreadState *state = PyThreadState_Get();
  PyObject *result;
  if (cloop_enter_on(shared, state, context) < 0) return -1;
  result = PyObject_Vectorcall(callable, args, (size_t)n, NULL);
  if (cloop_leave_on(shared, state, context) < 0) Py_CLEAR(result);
  if (result == NULL) return -1;
  Py_DECREF(result);
  return 0;
}

static inline int cloop_is_snapshot(cloop_snapshots *shared, PyObject *object) {
  return Py_TYPE(object) == shared->vars_type;
}

static inline PyObject *cloop_take_snapshot(cloop_snapshots *shared) {
  PyObject *current = PyThreadState_Get()->context;
  if (shared->vars_type == NULL || current == NULL) return PyContext_CopyCurrent();
  return Py_NewRef(((cloop_context *)current)->vars);
}

/* Whether a context can be used again. The collector shows the spare one to everybody. */
static inline int cloop_is_unused(PyObject *context) {
  cloop_context *self = (cloop_context *)context;
  return Py_REFCNT(context) == 1 && self->weakrefs == NULL && !self->entered;
}

/* A context with the variables of a snapshot. */
static inline PyObject *cloop_context_of(cloop_snapshots *shared, PyObject *snapshot) {
  PyObject *context, *old;
  if (!cloop_is_snapshot(shared, snapshot)) return Py_NewRef(snapshot);
  context = shared->spare;
  shared->spare = NULL;
  if (context != NULL && !cloop_is_unused(context)) Py_CLEAR(context);
  if (context == NULL && (context = PyContext_New()) == NULL) return NULL;
  old = ((cloop_context *)context)->vars;
  ((cloop_context *)context)->vars = Py_NewRef(snapshot);
  Py_DECREF(old);
  return context;
}

/* Gives back a context of cloop_context_of. Where nobody else has come to hold it, it is the next one. */
static inline void cloop_drop_context(cloop_snapshots *shared, PyObject *context) {
  cloop_context *self = (cloop_context *)context;
  PyObject *old = self->vars;
  if (shared->spare != NULL || !cloop_is_unused(context)) {
    Py_DECREF(context);
    return;
  }
  self->vars = Py_NewRef(shared->no_vars);
  shared->spare = context;
  Py_DECREF(old);
}

/* As cloop_vectorcall_in, in the context of a snapshot. Where it fails, the caller gets a reference to
 * the context that it ran in. */
static inline int cloop_vectorcall_with(cloop_snapshots *shared, PyObject *snapshot, PyObject *callable,
                                        PyObject *const *args, Py_ssize_t n, PyObject **failed_in) {
  PyObject *context;
  if (cloop_is_snapshot(shared, snapshot)) {
    context = cloop_context_of(shared, snapshot);
    if (context != NULL && cloop_vectorcall_in(shared, context, callable, args, n) == 0) {
      cloop_drop_context(shared, context);
      return 0;
    }
    *failed_in = context != NULL ? context : Py_NewRef(snapshot);
    return -1;
  }
  if (cloop_vectorcall_in(shared, snapshot, callable, args, n) == 0) return 0;
  *failed_in = Py_NewRef(snapshot);
  return -1;
}

static inline int cloop_call_with(cloop_snapshots *shared, PyObject *snapshot, PyObject *callable,
                                  PyObject *args, PyObject **failed_in) {
  return cloop_vectorcall_with(shared, snapshot, callable, ((PyTupleObject *)args)->ob_item,
                               PyTuple_GET_SIZE(args), failed_in);
}

static inline int cloop_call_one_with(cloop_snapshots *shared, PyObject *snapshot, PyObject *callable,
                                      PyObject *argument, PyObject **failed_in) {
  return cloop_vectorcall_with(shared, snapshot, callable, &argument, 1, failed_in);
}

/* Whether `context` can be a cloop_context whose variables are `vars` (any where that is NULL). */
static inline int cloop_looks_like_context(PyObject *context, PyObject *vars) {
  cloop_context *self = (cloop_context *)context;
  return Py_TYPE(context)->tp_basicsize == (Py_ssize_t)sizeof(cloop_context) && self->previous == NULL &&
         self->weakrefs == NULL && self->entered == 0 && (vars == NULL || self->vars == vars);
}

/* Looks whether contexts are what we take them for, and switches snapshots on if they are: a new
 * context has the size, and no variables in their place but one of the interpreter's maps; a copy
 * shares its map; setting a variable (`context.run(set_variable, None)`, which is to hold on to
 * nothing) replaces it; and a context that is entered is the one of the thread state and knows the
 * one before. -1 with an exception set where a call fails. */
static inline int cloop_snapshots_probe(cloop_snapshots *shared, PyObject *set_variable) {
#ifdef Py_GIL_DISABLED
  (void)shared;
  (void)set_variable;
  return 0;
#else
  PyObject *empty = PyContext_New(), *changed = NULL, *copy = NULL;
  PyObject *vars, *outer, *argument = Py_None;
  int status = -1;
  if (empty == NULL || (changed = PyContext_New()) == NULL) goto done;
  status = 0;
  if (!cloop_looks_like_context(empty, NULL)) goto done;
  vars = ((cloop_context *)empty)->vars;
  if (vars == NULL || strcmp(Py_TYPE(vars)->tp_name, "hamt") != 0) goto done;
  status = cloop_vectorcall_in(shared, changed, set_variable, &argument, 1);
  if (status < 0 || !cloop_looks_like_context(changed, NULL)) goto done;
  if (((cloop_context *)changed)->vars == vars || Py_TYPE(((cloop_context *)changed)->vars) != Py_TYPE(vars)) goto done;
  outer = PyThreadState_Get()->context;
  copy = PyContext_Copy(changed);
  if (copy == NULL || (status = PyContext_Enter(copy)) < 0) {
    status = -1;
    goto done;
  }
  if (PyThreadState_Get()->context == copy && ((cloop_context *)copy)->previous == outer && ((cloop_context *)copy)->entered == 1 &&
      ((cloop_context *)copy)->vars == ((cloop_context *)changed)->vars) {
    shared->no_vars = Py_NewRef(vars);
    shared->vars_type = Py_TYPE(vars);
  }
  status = PyContext_Exit(copy);
done:
  Py_XDECREF(copy);
  Py_XDECREF(changed);
  Py_XDECREF(empty);
  return status;
#endif
}

#endif
