"""The ready deque: a ring of (owner, function) pairs in the order in which they will run.

Whoever becomes ready enters as itself, with the C function that runs it: a Handle, a Task, a
transport. Nothing is allocated for an entry.

Owners lie in a Python list, so that the collector sees what a dropped loop still holds; a slot that
is not in use holds None. While the loop runs it is no garbage, and the collector is spared the list: 5 % of
the instructions of 20,000 callbacks that a thread posts. Functions lie in C memory beside it. The ring
belongs to the loop's thread.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport (
    NoResult,
    Py_DECREF,
    cloop_list_put,
    cloop_list_put_taken,
    cloop_list_take,
    cloop_prefetch,
)

# Runs an entry. Exceptions of user code are reported by the function itself; what it raises
# (KeyboardInterrupt, SystemExit, an error of ours) ends the loop's run.
ctypedef NoResult (*run_t)(object owner) except NoResult.EXC

@cython.final
cdef class Ready:
    cdef:
        list owners         # capacity is a power of two
        run_t *functions    # as many
        size_t mask         # capacity - 1
        size_t head         # where the oldest entry is
        size_t count        # entries
        bint untracked      # the collector does not know the list

        NoResult grow(self) except NoResult.EXC

        # The next entry allocates nothing, which might run code (core/shared).
        inline NoResult make_room(self) except NoResult.EXC:
            if self.count > self.mask:
                return self.grow()
            return NoResult.OK

        # The loop begins to run.
        void untrack(self) noexcept

        # It ends: let the collector know the list and all owners; see core/untracked.
        void track_all(self) noexcept
        NoResult take_all(self, Ready other) except NoResult.EXC

        inline NoResult push(self, object owner, run_t run) except NoResult.EXC:
            """Append an entry; takes a reference to `owner`. MemoryError if the ring can't grow."""
            if self.count > self.mask:
                self.grow()
            cdef size_t slot = (self.head + self.count) & self.mask
            cloop_list_put(<PyObject *>self.owners, slot, <PyObject *>owner)
            self.functions[slot] = run
            self.count += 1
            return NoResult.OK

        inline NoResult push_taken(self, PyObject *owner, run_t run) except NoResult.EXC:
            """The same with the caller's reference, which is gone in any case."""
            if self.count > self.mask:
                try:
                    self.grow()
                except BaseException:
                    Py_DECREF(owner)
                    raise
            cdef size_t slot = (self.head + self.count) & self.mask
            cloop_list_put_taken(<PyObject *>self.owners, slot, owner)
            self.functions[slot] = run
            self.count += 1
            return NoResult.OK

        inline void prefetch(self) noexcept:
            """Begin to load the entry after the next into the cache."""
            cloop_prefetch(<PyObject *>(self.owners[(self.head + 1) & self.mask]))

        inline PyObject *pop(self, run_t *run) noexcept:
            """Take the oldest entry; there must be one. The reference is the caller's."""
            cdef size_t slot = self.head
            run[0] = self.functions[slot]
            self.head = (slot + 1) & self.mask
            self.count -= 1
            return cloop_list_take(<PyObject *>self.owners, slot)
