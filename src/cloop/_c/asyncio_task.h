/* The layout of asyncio's C futures and tasks, which cloop's share (CPython 3.14 and later).
 *
 * There the interpreter keeps a list of the tasks that each thread has made, linked through the task objects
 * themselves, and the running one in the thread's state. Debuggers read both from outside, by offsets:
 * `python -m asyncio ps`, `profiling.sampling --async-aware`. asyncio.all_tasks() walks the list in the process.
 * They see a task of cloop's for what it is if the fields that they read are where asyncio's are: `awaited_by`
 * with its two flags, `coro`, `name` and `node`.
 *
 * So cloop_asyncio_task is asyncio's TaskObj, and the fields of Future and Task in aio/future.pxd and
 * aio/task.pxd are in an order that puts these at the same offsets (checked when aio/task is compiled). Whether
 * the running interpreter has this layout is seen at import, by a look at a task of asyncio's own
 * (aio/registry.pyx); where it has not, no task of cloop's is put into the list. */
#ifndef CLOOP_ASYNCIO_TASK_H
#define CLOOP_ASYNCIO_TASK_H

#include "compat.h"
#include <stddef.h>

typedef struct cloop_list_node {
  struct cloop_list_node *next, *previous;
} cloop_list_node;

typedef struct {
  PyObject_HEAD
  PyObject *loop;
  PyObject *callback0, *context0, *callbacks;
  PyObject *exception, *exception_tb, *result;
  PyObject *source_tb;
  PyObject *cancel_msg, *cancelled_exc;
  PyObject *awaited_by;
  int state;
  char is_task;
  char awaited_by_is_set;
  unsigned flags : 4;
  int num_cancels_requested;
  PyObject *fut_waiter;
  PyObject *coro;
  PyObject *name;
  PyObject *context;
  cloop_list_node node;
#ifdef Py_GIL_DISABLED
  uintptr_t tid;
#endif
} cloop_asyncio_task;

/* Fails to compile where a field of the class's struct is not at the offset that a debugger reads. */
#define CLOOP_SAME_OFFSET(STRUCT, FIELD, NAME) \
  ((int)sizeof(char[offsetof(STRUCT, FIELD) == offsetof(cloop_asyncio_task, NAME) ? 1 : -1]))

#define CLOOP_NODE_OFFSET ((Py_ssize_t)offsetof(cloop_asyncio_task, node))

/* Whether `task` is laid out like this, known by what it was made of; nobody awaits it, and it is the last
 * one in its thread's list. */
static inline int cloop_is_laid_out(PyObject *task, PyObject *loop, PyObject *coro, PyObject *name) {
  cloop_asyncio_task *it = (cloop_asyncio_task *)task;
  if (Py_TYPE(task)->tp_basicsize != (Py_ssize_t)sizeof(cloop_asyncio_task)) return 0;
  return it->loop == loop && it->coro == coro && it->name == name && it->state == 0 && it->is_task == 1 &&
         it->awaited_by == NULL && it->node.next != NULL && it->node.next->previous == &it->node;
}

/* Whether `awaited_by` is what a task of asyncio's says of who awaits it. */
static inline int cloop_tells_awaiter(PyObject *task, PyObject *awaiter) {
  cloop_asyncio_task *it = (cloop_asyncio_task *)task;
  return it->awaited_by == awaiter && !it->awaited_by_is_set;
}

static inline int cloop_tells_awaiters(PyObject *task) {
  cloop_asyncio_task *it = (cloop_asyncio_task *)task;
  return it->awaited_by != NULL && it->awaited_by_is_set == 1 && PySet_CheckExact(it->awaited_by);
}

/* The head of the list that a task, the last one in it, is linked into. */
static inline char *cloop_list_of(PyObject *task) { return (char *)((cloop_asyncio_task *)task)->node.next; }

/* ---- Who awaits a future of cloop's. `awaited_by` is NULL, a future or task, or a set of such. Before 3.14
 * nobody asks. */

/* A new instance: the compiler fills fields with None. */
static inline void cloop_init_awaited_by(PyObject *future) {
  cloop_asyncio_task *it = (cloop_asyncio_task *)future;
  Py_CLEAR(it->awaited_by);
}

/* Borrowed; NULL where nobody is known. The collector leaves None behind. */
static inline PyObject *cloop_awaited_by(PyObject *future) {
  PyObject *known = ((cloop_asyncio_task *)future)->awaited_by;
  return known == Py_None ? NULL : known;
}

static int cloop_add_another_awaiter(PyObject *future, PyObject *awaiter) {
  cloop_asyncio_task *it = (cloop_asyncio_task *)future;
  if (it->awaited_by == Py_None) return 0;
  if (!it->awaited_by_is_set) {
    PyObject *both = PySet_New(NULL);
    if (both == NULL) return -1;
    if (PySet_Add(both, it->awaited_by) < 0) {
      Py_DECREF(both);
      return -1;
    }
    it->awaited_by_is_set = 1;
    Py_SETREF(it->awaited_by, both);
  }
  return PySet_Add(it->awaited_by, awaiter);
}

static inline int cloop_add_awaiter(PyObject *future, PyObject *awaiter) {
#if PY_VERSION_HEX >= 0x030E0000
  cloop_asyncio_task *it = (cloop_asyncio_task *)future;
  if (it->awaited_by != NULL && it->awaited_by != awaiter) return cloop_add_another_awaiter(future, awaiter);
  if (it->awaited_by == NULL) it->awaited_by = Py_NewRef(awaiter);
#else
  (void)future, (void)awaiter;
#endif
  return 0;
}

static inline int cloop_discard_awaiter(PyObject *future, PyObject *awaiter) {
  cloop_asyncio_task *it = (cloop_asyncio_task *)future;
  if (it->awaited_by == NULL) return 0;
  if (it->awaited_by_is_set && PySet_CheckExact(it->awaited_by)) return PySet_Discard(it->awaited_by, awaiter);
  if (it->awaited_by == awaiter) Py_CLEAR(it->awaited_by);
  return 0;
}

static inline void cloop_forget_awaiters(PyObject *future) {
#if PY_VERSION_HEX >= 0x030E0000
  cloop_asyncio_task *it = (cloop_asyncio_task *)future;
  if (it->awaited_by == NULL) return;
  it->awaited_by_is_set = 0;
  Py_CLEAR(it->awaited_by);
#else
  (void)future;
#endif
}

#endif
