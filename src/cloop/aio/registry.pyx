"""The current task and the set of all tasks; registry.pxd is the manual.

From 3.14 on a task is linked into the list of its thread, where asyncio.all_tasks() and debuggers look, as
a task of asyncio's own class is. Nothing of the standard library is changed for that.

Before, asyncio.all_tasks() iterates the standard library's WeakSet of tasks. Adding a task to that from
Python costs more than a task switch, and a weak reference with a callback for each task as much
again. Instead each loop links its tasks into a ring, and the set inside the WeakSet (its `data`)
becomes one that, when somebody iterates it, also yields weak references to the tasks of the rings.
Tasks of other loops go into the set as ever. The same is done on a 3.14 whose tasks have another layout than
the one that cloop knows.
"""

import sys
import weakref
from asyncio import events, futures, tasks

from cpython.dict cimport PyDict_DelItem, PyDict_GetItemWithError
from cpython.object cimport PyObject

from cloop._c.pyapi cimport PY_VERSION_HEX, PyWeakref_NewRef, PyThreadState_Get
from cloop.core.ring cimport link_node, members_of, unlink_node

from cloop.aio.model import IdleLoop

cdef extern from *:
    """
    /* Up to 3.13, where the current task is in a dict; its key's hash need not be computed anew. */
    static inline int set_known(PyObject *dict, PyObject *key, PyObject *value, Py_hash_t hash) {
    #if PY_VERSION_HEX < 0x030E0000
      extern int _PyDict_SetItem_KnownHash(PyObject *, PyObject *, PyObject *, Py_hash_t);
      return _PyDict_SetItem_KnownHash(dict, key, value, hash);
    #else
      (void)hash;
      return PyDict_SetItem(dict, key, value);
    #endif
    }
    """
    int set_known(object d, object key, object value, Py_hash_t hash) except -1

cdef extern from "current_task.h":
    Py_ssize_t find_in_state "cloop_find_in_state"(object loop, object task)
    bint runs_here "cloop_runs_here"(Py_ssize_t offset, object loop)
    PyObject *task_in_state "cloop_task_in_state"(Py_ssize_t offset)
    void set_task_in_state "cloop_set_task_in_state"(Py_ssize_t offset, PyObject *task)

cdef extern from "asyncio_task.h":
    Py_ssize_t NODE_OFFSET "CLOOP_NODE_OFFSET"
    bint is_laid_out "cloop_is_laid_out"(object task, object loop, object coro, object name)
    bint tells_awaiter "cloop_tells_awaiter"(object task, object awaiter)
    bint tells_awaiters "cloop_tells_awaiters"(object task)
    char *list_of "cloop_list_of"(object task)

# 3.14 moved the current task from a dict of the module into the thread's state.
cdef bint in_thread_state = PY_VERSION_HEX >= 0x030E0000
cdef dict current_tasks = {} if in_thread_state else tasks._current_tasks
cdef object swap_in_thread_state = getattr(tasks, "_swap_current_task", None)
cdef object asyncio_task = getattr(tasks, "_CTask", tasks.Task)

# 3.11 has a variant without the deprecation warning of the public function.
cdef object get_event_loop = getattr(events, "_get_event_loop", events.get_event_loop)

# All loops of the process.
loops = weakref.WeakSet()


class Probe:
    """Something that nobody else has, to see where it goes."""


def place_in_state():
    """The offset of the running loop and its current task in the thread's state; 0 if it is not known."""
    cdef Py_ssize_t offset = 0
    if not in_thread_state:
        return 0
    running = events._get_running_loop()
    loop, task = Probe(), Probe()
    before = None
    try:
        events._set_running_loop(loop)
        before = swap_in_thread_state(loop, task)
        offset = find_in_state(loop, task)
        for other in (None, Probe(), task):
            swap_in_thread_state(loop, other)
            if offset and task_in_state(offset) != (NULL if other is None else <PyObject *>other):
                offset = 0
    finally:
        swap_in_thread_state(loop, before)
        events._set_running_loop(running)
    return offset


cdef Py_ssize_t place = place_in_state()


async def never():
    """The coroutine of a task that does not run."""


def list_in_state():
    """The offset of the list of tasks in the thread's state; 0 where tasks of cloop's can't be in it.

    It lies behind the current task, with a word between them in 3.15. What is looked at is a task of
    asyncio's own class, which must be laid out as cloop's are, and say who awaits it as they do.
    """
    if not place or not hasattr(futures, "future_add_to_awaited_by"):
        return 0
    cdef Py_ssize_t offset = 0
    loop, coro, name = IdleLoop(), never(), "probe"
    task = None
    try:
        task = asyncio_task(coro, loop=loop, name=name)
        task._log_destroy_pending = False
        waiters = [futures.Future(loop=loop), futures.Future(loop=loop)]
        if is_laid_out(task, loop, coro, name):
            offset = list_of(task) - <char *>PyThreadState_Get()
            futures.future_add_to_awaited_by(task, waiters[0])
            alone = tells_awaiter(task, waiters[0])
            futures.future_add_to_awaited_by(task, waiters[1])
            if not alone or not tells_awaiters(task):
                offset = 0
    finally:
        coro.close()
    return offset if 2 <= (offset - place) / <Py_ssize_t>sizeof(void *) <= 4 else 0


cdef Py_ssize_t task_list = list_in_state()


cdef object default_loop():
    return get_event_loop()


cdef NoResult enter_task(Reactor loop, object task) except NoResult.EXC:
    cdef PyObject *other
    if place and runs_here(place, loop):
        other = task_in_state(place)
        if loop.current is None and other != NULL:
            raise RuntimeError(f"Cannot enter into task {task!r} while another task "
                               f"{<object>other!r} is being executed.")
        set_task_in_state(place, <PyObject *>task)
    elif in_thread_state:
        other_task = swap_in_thread_state(loop, task)
        if loop.current is None and other_task is not None:
            swap_in_thread_state(loop, other_task)
            raise RuntimeError(f"Cannot enter into task {task!r} while another task "
                               f"{other_task!r} is being executed.")
    else:
        if loop.current is None:
            other = PyDict_GetItemWithError(current_tasks, loop)
            if other != NULL:
                raise RuntimeError(f"Cannot enter into task {task!r} while another task "
                                   f"{<object>other!r} is being executed.")
        set_known(current_tasks, loop, task, loop.hash)
    loop.current = task
    return NoResult.OK


cdef NoResult leave_task(Reactor loop) except NoResult.EXC:
    loop.current = None
    if place and runs_here(place, loop):
        set_task_in_state(place, NULL)
    elif in_thread_state:
        swap_in_thread_state(loop, None)
    elif PyDict_GetItemWithError(current_tasks, loop) != NULL:
        PyDict_DelItem(current_tasks, loop)
    return NoResult.OK


cdef object swap_current_task(object loop, object task):
    if in_thread_state:
        return swap_in_thread_state(loop, task)
    previous = current_tasks.get(loop)
    if task is None:
        current_tasks.pop(loop, None)
    else:
        current_tasks[loop] = task
    return previous


cdef NoResult register_task(object loop, bint native, Node *node, object task) except NoResult.EXC:
    unlink_node(node)  # where a second __init__ finds it
    if task_list:
        link_node(<Node *>(<char *>PyThreadState_Get() + task_list), node)
    elif native and rings_are_watched:
        link_node(&(<Reactor>loop).tasks, node)
    else:
        tasks._register_task(task)
    return NoResult.OK


cdef bint links_tasks(bint native) noexcept:
    return task_list != 0 or (native and rings_are_watched)


cdef NoResult register_loop(Reactor loop) except NoResult.EXC:
    loop.hash = hash(loop)
    loops.add(loop)
    return NoResult.OK


def live_references():
    """Weak references to the tasks of all of cloop's loops, as a list."""
    return [PyWeakref_NewRef(task, None)
            for loop in list(loops) for task in members_of(&(<Reactor>loop).tasks, NODE_OFFSET)]


class ScheduledTasks(set):
    """The references inside asyncio's WeakSet of tasks, and those to cloop's tasks."""

    __slots__ = ()

    def __iter__(self):
        return iter([*set.__iter__(self), *live_references()])

    def copy(self):
        """What 3.14 iterates in place of the set itself."""
        return set(self.__iter__())

    def __len__(self):
        return set.__len__(self) + len(live_references())

    def __contains__(self, reference):
        return set.__contains__(self, reference) or reference in live_references()


def set_of_tasks():
    """The standard library's WeakSet of tasks, or None where it can't be found.

    3.14 does not export the one it uses. A reference in it has a callback that knows the set.
    """
    if sys.version_info < (3, 12):
        return tasks._all_tasks
    if not in_thread_state:
        return tasks._scheduled_tasks
    probe = Probe()
    found = None
    tasks._register_task(probe)
    try:
        found = weakref.getweakrefs(probe)[0].__callback__.__defaults__[0]()
    except (AttributeError, IndexError, TypeError):
        pass
    finally:
        tasks._unregister_task(probe)
    return found


def watch_all_tasks():
    """Let asyncio.all_tasks() find cloop's tasks too. Returns whether it does."""
    known = set_of_tasks()
    if not isinstance(known, weakref.WeakSet):
        return False
    known.data = ScheduledTasks(known.data)
    return True


cdef bint rings_are_watched = not task_list and watch_all_tasks()
