"""Task, as asyncio.Task, and the coroutine driver.

task.py is the code, in Python syntax; this is the manual of its fields. A task enters the ready
deque as itself with `run_task`, when it is made, when it yielded, and when the future that it waits
for is done.
"""

from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult
from cloop.aio.future cimport Future
from cloop.core.ring cimport Node

cdef object asyncio_task

cdef class Task(Future):
    cdef:
        # These four are where asyncio's C tasks have them (_c/asyncio_task.h).
        object coro
        object name             # a str, or the number of a task that was given none
        object context          # the contextvars.Context it runs in
        Node node               # in the thread's list or the loop's ring of tasks, until it is done

        # What it waits for: a future, done or not; None while it runs or while it is in the ready
        # deque for another reason.
        object fut_waiter
        object pending_error    # raised in the coroutine at the next step; None: it goes on
        object message          # what cancel() was told

        NoResult begin(self, object coro, object context) except NoResult.EXC
        NoResult start(self) except NoResult.EXC
        NoResult start_eagerly(self) except NoResult.EXC
        NoResult resume(self, object error) except NoResult.EXC
        NoResult returned(self, object result) except NoResult.EXC
        NoResult raised(self) except NoResult.EXC
        NoResult yielded(self, object result) except NoResult.EXC
        NoResult wait_for_future(self, Future future) except NoResult.EXC
        NoResult wait_for_object(self, object future) except NoResult.EXC
        NoResult refuse_future(self, object future, object loop, bint blocking) except NoResult.EXC
        NoResult driver_failed(self) except NoResult.EXC
        NoResult fail_soon(self, str message) except NoResult.EXC
        NoResult step_soon(self, object error) except NoResult.EXC
        bint cancel_task(self, object message) except -1

# A task of a cloop loop, scheduled; `context` may be None. The caller has checked `coro`.
cdef Task new_task(object loop, object coro, object name, object context)

# What `name` holds: str(name), or the next number where `name` is None.
cdef object new_name(object name)

# Raises TypeError for what is no coroutine.
cdef NoResult check_coroutine(object coro) except NoResult.EXC

# Run the coroutine up to its next wait, in the task's context, which the caller has entered.
cdef NoResult step(Task task, object error) except NoResult.EXC
ctypedef NoResult (*quiet_step_t)(Task task, object error) noexcept

# Runs a task from the ready deque.
cdef NoResult run_task(object owner) except NoResult.EXC

# Fields that are read from outside lie where asyncio's tasks have them.
cdef extern from "asyncio_task.h":
    """
    #define CLOOP_FUTURE_STRUCT struct __pyx_obj_5cloop_3aio_6future_Future
    #define CLOOP_TASK_STRUCT struct __pyx_obj_5cloop_3aio_4task_Task
    """
    enum:
        AWAITED_BY_FITS "CLOOP_SAME_OFFSET(CLOOP_FUTURE_STRUCT, awaited_by, awaited_by)"
        STATE_FITS "CLOOP_SAME_OFFSET(CLOOP_FUTURE_STRUCT, state, state)"
        IS_TASK_FITS "CLOOP_SAME_OFFSET(CLOOP_FUTURE_STRUCT, is_task, is_task)"
        IS_SET_FITS "CLOOP_SAME_OFFSET(CLOOP_FUTURE_STRUCT, awaited_by_is_set, awaited_by_is_set)"
        CORO_FITS "CLOOP_SAME_OFFSET(CLOOP_TASK_STRUCT, coro, coro)"
        NAME_FITS "CLOOP_SAME_OFFSET(CLOOP_TASK_STRUCT, name, name)"
        NODE_FITS "CLOOP_SAME_OFFSET(CLOOP_TASK_STRUCT, node, node)"
