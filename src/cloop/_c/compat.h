/* Small C that Cython can't say, and every platform difference of the system calls, in one place. */
#ifndef CLOOP_COMPAT_H
#define CLOOP_COMPAT_H

#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef CLOOP_DEBUG
#define CLOOP_DEBUG 0
#endif

#ifdef Py_GIL_DISABLED
#define CLOOP_HAS_GIL 0
#else
#define CLOOP_HAS_GIL 1
#endif

/* The clock of time.monotonic(): CPython reads mach_absolute_time() on macOS, which does not count
 * sleep, as CLOCK_UPTIME_RAW does not; CLOCK_MONOTONIC everywhere else. */
#ifdef __APPLE__
#define CLOOP_CLOCK CLOCK_UPTIME_RAW
#else
#define CLOOP_CLOCK CLOCK_MONOTONIC
#endif

static inline int64_t cloop_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOOP_CLOCK, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- Objects ------------------------------------------------------------------------------- */

/* The exception that is set, taken: normalized, with its traceback. Unlike an `except` clause of
 * Cython it leaves no frame of ours in the traceback. */
static inline PyObject *cloop_take_exception(void) {
#if PY_VERSION_HEX >= 0x030C0000
  return PyErr_GetRaisedException();
#else
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != NULL) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return value;
#endif
}

/* Sets an exception as it is, traceback and context included. */
static inline void cloop_set_exception(PyObject *exception) {
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(Py_NewRef(exception));
#else
  PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), Py_NewRef(exception),
                PyException_GetTraceback(exception));
#endif
}

/* Resumes a coroutine or generator: what it yielded (PYGEN_NEXT) or returned (PYGEN_RETURN). With
 * PYGEN_ERROR the result is None and the exception stays set, for the caller to take. */
static inline PyObject *cloop_send(PyObject *coro, int *status) {
  PyObject *result;
  *status = (int)PyIter_Send(coro, Py_None, &result);
  return *status == PYGEN_ERROR ? Py_NewRef(Py_None) : result;
}

/* The same, raising an exception where it waits. */
static inline PyObject *cloop_throw(PyObject *coro, PyObject *exception, int *status) {
  static PyObject *name;
  PyObject *result = NULL;
  if (name == NULL) name = PyUnicode_InternFromString("throw");
  if (name != NULL) result = PyObject_CallMethodOneArg(coro, name, exception);
  *status = PYGEN_NEXT;
  if (result == NULL) {
    *status = PYGEN_ERROR;
    if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
      PyObject *stop = cloop_take_exception();
      result = PyObject_GetAttrString(stop, "value");
      Py_DECREF(stop);
      if (result != NULL) *status = PYGEN_RETURN;
    }
  }
  return *status == PYGEN_ERROR ? Py_NewRef(Py_None) : result;
}

/* Cython makes the dict of `cdef dict __dict__` with the object. Without one, as long as nobody sets
 * an attribute, CPython specializes the look-up of methods, and each object is smaller. */
static inline void cloop_drop_instance_dict(PyObject *object) {
  PyObject **dict = _PyObject_GetDictPtr(object);
  if (dict != NULL) Py_CLEAR(*dict);
}

/* The wake-up descriptor of signals, by a function that 3.11 and 3.12 declare and do not export. */
#if PY_VERSION_HEX >= 0x030D0000
#define CLOOP_CAN_SWAP_WAKEUP_FD 1
#define cloop_swap_wakeup_fd(fd) PySignal_SetWakeupFd(fd)
#else
#define CLOOP_CAN_SWAP_WAKEUP_FD 0
#define cloop_swap_wakeup_fd(fd) (-1)
#endif

/* A lock that exists only where several threads run Python at once; elsewhere the GIL is it. */
#ifdef Py_GIL_DISABLED
typedef PyMutex cloop_mutex;
#define CLOOP_LOCK(mutex) PyMutex_Lock(mutex)
#define CLOOP_UNLOCK(mutex) PyMutex_Unlock(mutex)
#else
typedef char cloop_mutex;
#define CLOOP_LOCK(mutex) ((void)(mutex))
#define CLOOP_UNLOCK(mutex) ((void)(mutex))
#endif

/* Slots of the lists that hold the ready deque, the timers and the watches. The lists are never
 * handed out, so their sizes are what their owners made them. */
static inline PyObject *cloop_list_take(PyObject *list, Py_ssize_t index) {
  PyObject *item = PyList_GET_ITEM(list, index);
  PyList_SET_ITEM(list, index, Py_NewRef(Py_None));
  return item;
}

static inline void cloop_list_put_taken(PyObject *list, Py_ssize_t index, PyObject *item) {
  PyObject *old = PyList_GET_ITEM(list, index);
  PyList_SET_ITEM(list, index, item);
  Py_DECREF(old);
}

static inline void cloop_list_put(PyObject *list, Py_ssize_t index, PyObject *item) {
  cloop_list_put_taken(list, index, Py_NewRef(item));
}

/* Has the first fields of an object that will be used soon loaded into the cache. */
static inline void cloop_prefetch(PyObject *object) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(object, 1);
  __builtin_prefetch((char *)object + 64, 1);
#endif
}

/* Let the collector know an object that was made untracked. */
static inline void cloop_track(PyObject *self) {
  if (!PyObject_GC_IsTracked(self)) PyObject_GC_Track(self);
}

/* An object that is being made is nobody's yet: the collector does not show it, and if it never becomes
 * whole no finalizer is run, which would find empty fields; the fields of a derived class even have no
 * value at all until the __cinit__ of its bases has returned. From cloop_hide() to cloop_show(). */
static inline void cloop_mark_finalized(PyObject *self, int finalized) {
#ifdef Py_GIL_DISABLED
  self->ob_gc_bits = (uint8_t)(finalized ? self->ob_gc_bits | 2 : self->ob_gc_bits & ~2);
#else
  /* The lowest bit of the second word of the collector's header, which lies before the object. */
  uintptr_t *word = (uintptr_t *)self - 1;
  *word = finalized ? *word | 1 : *word & ~(uintptr_t)1;
#endif
}

static inline void cloop_hide(PyObject *self) {
  PyObject_GC_UnTrack(self);
  cloop_mark_finalized(self, 1);
}

static inline void cloop_show(PyObject *self) {
  cloop_mark_finalized(self, 0);
  PyObject_GC_Track(self);
}

/* For an extension type that no Python class inherits from: its objects are hidden from the start. The
 * __cinit__ of the last class shows them. */
static inline PyObject *cloop_alloc_hidden(PyTypeObject *type, Py_ssize_t n) {
  PyObject *self = PyType_GenericAlloc(type, n);
  if (self != NULL) cloop_hide(self);
  return self;
}
#define cloop_hide_new(type) ((type)->tp_alloc = cloop_alloc_hidden)

/* No Python class may inherit from it: what its methods take for granted is in the derived classes. */
#define cloop_seal(type) ((type)->tp_flags &= ~Py_TPFLAGS_BASETYPE)

/* Of a type that has a place for them. */
static inline int cloop_has_weakrefs(PyObject *self) {
  return *(PyObject **)((char *)self + Py_TYPE(self)->tp_weaklistoffset) != NULL;
}

/* Live objects of an extension type are counted in debug builds: LIVE is the address of a counter. */
#if CLOOP_DEBUG && !defined(Py_GIL_DISABLED)
#define CLOOP_COUNTED(NAME, LIVE)                                                                  \
  static PyObject *NAME##_alloc(PyTypeObject *type, Py_ssize_t n) {                                \
    ++*(LIVE);                                                                                     \
    return PyType_GenericAlloc(type, n);                                                           \
  }                                                                                                \
  static void NAME##_free(void *memory) {                                                          \
    --*(LIVE);                                                                                     \
    PyObject_GC_Del(memory);                                                                       \
  }                                                                                                \
  static inline void NAME##_install(PyTypeObject *type) {                                          \
    type->tp_alloc = NAME##_alloc;                                                                 \
    type->tp_free = NAME##_free;                                                                   \
  }
#else
#define CLOOP_COUNTED(NAME, LIVE)                                                                  \
  static inline void NAME##_install(PyTypeObject *type) { (void)type; }
#endif

/* A free list for extension types that have a base class, which Cython's @freelist can't serve, or
 * whose objects the collector is not always to know. It replaces tp_alloc and tp_free of the exact
 * type; classes that inherit from it in Python get CPython's own from type.__new__. What comes out of
 * the list is tracked by the collector if TRACKED says so; what is made anew always is. Off where
 * several threads run Python at once (it has no lock), and in debug builds, for the memory checkers. */
#if CLOOP_DEBUG || defined(Py_GIL_DISABLED)
#define CLOOP_FREELIST(NAME, SIZE, LIVE, TRACKED) CLOOP_COUNTED(NAME, LIVE)
#else
#define CLOOP_FREELIST(NAME, SIZE, LIVE, TRACKED)                                                  \
  static PyTypeObject *NAME##_type;                                                                \
  static PyObject *NAME##_items[SIZE];                                                             \
  static int NAME##_count;                                                                         \
  static PyObject *NAME##_alloc(PyTypeObject *type, Py_ssize_t n) {                                \
    PyObject *self;                                                                                \
    if (type != NAME##_type || NAME##_count == 0) return PyType_GenericAlloc(type, n);             \
    self = NAME##_items[--NAME##_count];                                                           \
    memset((char *)self + sizeof(PyObject), 0, (size_t)type->tp_basicsize - sizeof(PyObject));     \
    (void)PyObject_Init(self, type);                                                               \
    if (TRACKED) PyObject_GC_Track(self);                                                          \
    return self;                                                                                   \
  }                                                                                                \
  static void NAME##_free(void *memory) {                                                          \
    PyObject *self = (PyObject *)memory;                                                           \
    if (Py_TYPE(self) != NAME##_type || NAME##_count == SIZE) {                                    \
      PyObject_GC_Del(self);                                                                       \
      return;                                                                                      \
    }                                                                                              \
    /* The collector's header lies before the object; its finalized bit must not outlive it. */    \
    ((uintptr_t *)self)[-1] = 0;                                                                   \
    ((uintptr_t *)self)[-2] = 0;                                                                   \
    NAME##_items[NAME##_count++] = self;                                                           \
  }                                                                                                \
  static inline void NAME##_install(PyTypeObject *type) {                                          \
    NAME##_type = type;                                                                            \
    type->tp_alloc = NAME##_alloc;                                                                 \
    type->tp_free = NAME##_free;                                                                   \
  }
#endif

/* ---- Sockets ------------------------------------------------------------------------------- */

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: SO_NOSIGPIPE; and CPython ignores SIGPIPE */
#endif

/* sendmsg of nothing but bytes, to where the socket is connected to. */
static inline ssize_t cloop_send_vector(int fd, struct iovec *vector, int count, int flags) {
  struct msghdr message = {.msg_iov = vector};
  message.msg_iovlen = count;
  return sendmsg(fd, &message, flags | MSG_NOSIGNAL);
}

/* What a pipe holds; with a size other than 0 after it has been given that. */
static inline int cloop_pipe_size(int fd, int size) {
#ifdef F_SETPIPE_SZ
  return size ? fcntl(fd, F_SETPIPE_SZ, size) : fcntl(fd, F_GETPIPE_SZ);
#else
  (void)fd;
  (void)size;
  return -1;
#endif
}

/* The descriptor of a socket.socket: the first field of PySocketSockObject since Python 2. It is -1
 * once the socket was closed or detached. */
struct cloop_socket_head {
  PyObject_HEAD
  int number;
};

static inline int cloop_socket_number(PyObject *sock) { return ((struct cloop_socket_head *)sock)->number; }

/* Accepts a connection, non-blocking and not inherited by children. Whoever has these flags has accept4(2):
 * Linux and the BSDs, but not macOS. */
static inline int cloop_accept(int fd, struct sockaddr *address, socklen_t *length) {
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
  int connection = accept(fd, address, length);
  if (connection >= 0) {
    fcntl(connection, F_SETFD, FD_CLOEXEC);
    fcntl(connection, F_SETFL, fcntl(connection, F_GETFL) | O_NONBLOCK);
  }
  return connection;
#endif
}

/* Takes what an internet socket has in its queue of errors, where there is such a thing; ip(7), IP_RECVERR.
 * Whether there was anything. (A unix socket would give a datagram.) */
static inline int cloop_drop_errors(int fd) {
  int any = 0;
#ifdef MSG_ERRQUEUE
  int family = 0;
  socklen_t size = sizeof family;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0) return 0;
  if (family != AF_INET && family != AF_INET6) return 0;
  for (;;) {
    struct msghdr message;
    memset(&message, 0, sizeof message);
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
    any = 1;
  }
#else
  (void)fd;
#endif
  return any;
}

/* Whether a socket that has just given nothing, or 0 bytes, has been shut down for reading, by its peer or
 * here, and has no bytes left. */
static inline int cloop_has_ended(int fd) {
  int left = 0;
#ifdef POLLRDHUP
  struct pollfd polled = {.fd = fd, .events = POLLRDHUP};
#else
  struct pollfd polled = {.fd = fd, .events = 0};
#endif
  if (poll(&polled, 1, 0) < 1 || polled.revents & POLLNVAL) return 0;
  return !(polled.revents & POLLERR) && ioctl(fd, FIONREAD, &left) == 0 && left == 0;
}

/* Several messages in one system call, where the kernel keeps an error that it meets after the first for
 * the next call; else one. Never waits. The number of messages, or -1 with errno. */
#ifdef __linux__
#define CLOOP_HAS_MMSG 1
typedef struct mmsghdr cloop_mmsghdr;

static inline int cloop_recvmmsg(int fd, cloop_mmsghdr *messages, unsigned int count) {
  return recvmmsg(fd, messages, count, MSG_DONTWAIT, NULL);
}

static inline int cloop_sendmmsg(int fd, cloop_mmsghdr *messages, unsigned int count) {
  return sendmmsg(fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}
#else
#define CLOOP_HAS_MMSG 0
typedef struct {
  struct msghdr msg_hdr;
  unsigned int msg_len;
} cloop_mmsghdr;

static inline int cloop_recvmmsg(int fd, cloop_mmsghdr *messages, unsigned int count) {
  ssize_t size = recvmsg(fd, &messages->msg_hdr, MSG_DONTWAIT);
  (void)count;
  messages->msg_len = size < 0 ? 0 : (unsigned int)size;
  return size < 0 ? -1 : 1;
}

static inline int cloop_sendmmsg(int fd, cloop_mmsghdr *messages, unsigned int count) {
  ssize_t size = sendmsg(fd, &messages->msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL);
  (void)count;
  messages->msg_len = size < 0 ? 0 : (unsigned int)size;
  return size < 0 ? -1 : 1;
}
#endif

/* ---- epoll --------------------------------------------------------------------------------- */

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/syscall.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* Linux 5.11; the number is the same on every architecture but alpha */
#endif

struct cloop_timespec64 {
  int64_t tv_sec;
  int64_t tv_nsec;
};

static inline int cloop_epoll_pwait2(int epfd, struct epoll_event *events, int max, int64_t timeout_ns) {
  struct cloop_timespec64 timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
  return (int)syscall(SYS_epoll_pwait2, epfd, events, max, timeout_ns < 0 ? NULL : &timeout, NULL, 0);
}
#endif

#endif
