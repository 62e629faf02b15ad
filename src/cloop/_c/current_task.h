/* Where the interpreter keeps the task that runs in a thread (3.14 and later).
 *
 * There the running loop and its current task are two words of the thread's state, behind what the public header
 * describes, and asyncio's own C task writes the second one itself. Everybody else is given a Python function,
 * `_swap_current_task`. To write the word instead takes 2 % off a task switch (3,648 instructions and 3,574 for
 * one `await asyncio.sleep(0)`, CPython 3.14).
 *
 * The words are found by looking: the function is given two objects that nobody else has, and they must stand
 * side by side in the state; then the second word must follow what the function is told. Otherwise the
 * function is called each time. */
#ifndef CLOOP_CURRENT_TASK_H
#define CLOOP_CURRENT_TASK_H

#include "compat.h"

/* How many words are looked at; the state goes on behind them. The two are the 5th and 6th there in 3.14, and the
 * 18th and 19th in 3.15. */
#if PY_VERSION_HEX >= 0x030F0000
#define CLOOP_STATE_WORDS 24
#else
#define CLOOP_STATE_WORDS 12
#endif

/* The offset in the thread's state of two words that are these; 0 if there are none. */
static Py_ssize_t cloop_find_in_state(PyObject *loop, PyObject *task) {
#if PY_VERSION_HEX >= 0x030E0000
  char *state = (char *)PyThreadState_Get();
  Py_ssize_t offset = sizeof(PyThreadState);
  for (int i = 0; i + 1 < CLOOP_STATE_WORDS; i++, offset += sizeof(PyObject *)) {
    PyObject **words = (PyObject **)(state + offset);
    if (words[0] == loop && words[1] == task) return offset;
  }
#else
  (void)loop, (void)task;
#endif
  return 0;
}

static inline PyObject **cloop_in_state(Py_ssize_t offset) {
  return (PyObject **)((char *)PyThreadState_Get() + offset);
}

/* Whether the loop is the running one of this thread. */
static inline int cloop_runs_here(Py_ssize_t offset, PyObject *loop) { return cloop_in_state(offset)[0] == loop; }

/* The current task of the running loop, borrowed; NULL for none. */
static inline PyObject *cloop_task_in_state(Py_ssize_t offset) { return cloop_in_state(offset)[1]; }

static inline void cloop_set_task_in_state(Py_ssize_t offset, PyObject *task) {
  PyObject **words = cloop_in_state(offset), *before = words[1];
  words[1] = Py_XNewRef(task);
  Py_XDECREF(before);
}

#endif
