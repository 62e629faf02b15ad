/* kqueue(2) over poll(2), for testing on Linux the poller that macOS and the BSDs have.
 *
 * As slow as it is short: it goes through all entries at each wait. What a BSD does and Linux does not,
 * it does: an entry belongs to a number, goes with the file that had it, and reports by itself; adding
 * it again leaves its flags as they are; a pipe that nobody reads is refused for writing. Processes are
 * watched by their pidfd, once, for their end. What one thread adds, another that waits already waits for.
 * What no poller asks for (times, vnodes, EV_DISPATCH) is missing. Files that epoll refuses, which a BSD
 * would watch, are refused here too, for the tests that run on Linux.
 *
 * libkqueue 2.3.1, which Debian has, is of no use: it refuses to watch a descriptor for reading and for
 * writing (EPOLL_CTL_ADD says EEXIST, and kevent() EFAULT; https://github.com/mheily/libkqueue/issues/29),
 * and closes what a queue was made of in a thread of its own, some time later.
 */
#define _GNU_SOURCE
#include "sys/event.h"

#undef close

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

typedef struct {
  struct kevent event;
  dev_t device; /* of the file that had the number */
  ino_t inode;
  int pidfd; /* of a process, else -1 */
} entry;

typedef struct {
  int fd;      /* an eventfd, raised by NOTE_TRIGGER */
  int changed; /* an eventfd, raised when entries were added while somebody waits */
  struct kevent user;
  pthread_mutex_t lock; /* of what follows; not held while a thread waits */
  entry *entries;
  struct pollfd *polled; /* the two eventfds, then the entries; the waiting thread's own */
  int count, size, polled_size, waiting;
  int next; /* where the next wait begins to look, so that all have their turn */
} queue;

enum { OWN = 2 }; /* the eventfds among what is polled */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static queue **queues; /* by number */
static int queues_size;

static queue *find_queue(int fd) {
  queue *found = NULL;
  pthread_mutex_lock(&mutex);
  if (fd >= 0 && fd < queues_size) found = queues[fd];
  pthread_mutex_unlock(&mutex);
  return found;
}

int kqueue(void) {
  queue *self = calloc(1, sizeof *self);
  self->fd = eventfd(0, EFD_NONBLOCK);
  self->changed = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (self->fd < 0 || self->changed < 0) {
    if (self->fd >= 0) close(self->fd);
    free(self);
    errno = EMFILE;
    return -1;
  }
  pthread_mutex_init(&self->lock, NULL);
  pthread_mutex_lock(&mutex);
  if (self->fd >= queues_size) {
    queues = realloc(queues, (self->fd + 64) * sizeof *queues);
    memset(queues + queues_size, 0, (self->fd + 64 - queues_size) * sizeof *queues);
    queues_size = self->fd + 64;
  }
  queues[self->fd] = self;
  pthread_mutex_unlock(&mutex);
  return self->fd;
}

static void drop(queue *self, int i) {
  if (self->entries[i].pidfd >= 0) close(self->entries[i].pidfd);
  memmove(&self->entries[i], &self->entries[i + 1], (size_t)(--self->count - i) * sizeof *self->entries);
}

int kqueue_close(int fd) {
  queue *self = find_queue(fd);
  if (self != NULL) {
    pthread_mutex_lock(&mutex);
    queues[fd] = NULL;
    pthread_mutex_unlock(&mutex);
    while (self->count > 0) drop(self, self->count - 1);
    close(self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self->entries);
    free(self->polled);
    free(self);
  }
  return close(fd);
}

/* A number that was closed takes its entries with it. */
static int is_closed(const entry *self) {
  struct stat info;
  if (self->pidfd >= 0) return 0;
  return fstat((int)self->event.ident, &info) < 0 || info.st_dev != self->device || info.st_ino != self->inode;
}

/* The errno with which a file is refused, or 0. */
static int refusal(const struct kevent *change, const struct stat *info) {
  struct pollfd polled = {(int)change->ident, POLLOUT, 0};
  if (S_ISREG(info->st_mode) || S_ISDIR(info->st_mode)) return EPERM;
  if (S_ISCHR(info->st_mode) && major(info->st_rdev) == 1) return EPERM;
  if (S_ISFIFO(info->st_mode) && change->filter == EVFILT_WRITE && poll(&polled, 1, 0) == 1 &&
      polled.revents & POLLERR)
    return EPIPE;
  return 0;
}

static int add(queue *self, const struct kevent *change) {
  struct stat info = {0};
  int refused, pidfd = -1;
  if (change->filter == EVFILT_PROC) {
    if ((pidfd = (int)syscall(SYS_pidfd_open, (pid_t)change->ident, 0)) < 0) return errno;
  } else {
    if (fstat((int)change->ident, &info) < 0) return EBADF;
    if ((refused = refusal(change, &info)) != 0) return refused;
  }
  if (self->count == self->size) {
    self->size += 64;
    self->entries = realloc(self->entries, self->size * sizeof *self->entries);
  }
  self->entries[self->count++] = (entry){*change, info.st_dev, info.st_ino, pidfd};
  if (self->waiting && write(self->changed, &(uint64_t){1}, sizeof(uint64_t)) < 0 && errno != EAGAIN) return errno;
  return 0;
}

static int apply(queue *self, const struct kevent *change) {
  uint64_t one = 1;
  if (change->filter == EVFILT_USER) {
    if (change->flags & EV_ADD) self->user = *change;
    if (change->fflags & NOTE_TRIGGER && write(self->fd, &one, sizeof one) < 0 && errno != EAGAIN) return errno;
    return 0;
  }
  for (int i = 0; i < self->count; i++) {
    struct kevent *known = &self->entries[i].event;
    if (known->ident != change->ident || known->filter != change->filter) continue;
    if (is_closed(&self->entries[i])) {
      drop(self, i);
      break;
    }
    if (change->flags & EV_DELETE)
      drop(self, i);
    else
      known->udata = change->udata;
    return 0;
  }
  return change->flags & EV_ADD ? add(self, change) : ENOENT;
}

static short wanted(const struct kevent *event) {
  if (event->filter == EVFILT_PROC) return POLLIN;
  return event->filter == EVFILT_READ ? POLLIN | POLLRDHUP : POLLOUT;
}

/* Whether the entry is still the one that was polled: another thread may have taken it out meanwhile. */
static int was_polled(const entry *self, const struct pollfd *polled) {
  return polled->fd == (self->pidfd >= 0 ? self->pidfd : (int)self->event.ident) &&
         polled->events == wanted(&self->event);
}

static int collect(queue *self, int polled, struct kevent *events, int nevents) {
  uint64_t count;
  int n = 0, wrapped = 0;
  if (self->polled[0].revents && nevents > 0) {
    (void)!read(self->fd, &count, sizeof count);
    events[n++] = self->user;
  }
  int first = n;
  if (polled > self->count) polled = self->count;
  for (int looked = 0; looked < polled && n < nevents; looked++) {
    int i = (self->next + looked) % polled;
    short found = self->polled[OWN + i].revents;
    if (!was_polled(&self->entries[i], &self->polled[OWN + i])) continue;
    if (!(found & (wanted(&self->entries[i].event) | POLLERR | POLLHUP))) continue;
    events[n] = self->entries[i].event;
    if (found & (POLLERR | POLLHUP | POLLRDHUP)) events[n].flags |= EV_EOF;
    if (n > first && i < events[n - 1].data) wrapped = n;
    events[n++].data = i;
  }
  if (n > first) self->next = (int)events[n - 1].data + 1;
  /* From the last place to the first, for those of the others to stay what they are. */
  if (wrapped == 0) wrapped = n;
  for (int i = wrapped - 1; i >= first; i--)
    if (events[i].flags & EV_ONESHOT) drop(self, (int)events[i].data);
  for (int i = n - 1; i >= wrapped; i--)
    if (events[i].flags & EV_ONESHOT) drop(self, (int)events[i].data);
  return n;
}

/* Fill in what to poll; returns how many entries that are. */
static int prepare(queue *self) {
  uint64_t count;
  (void)!read(self->changed, &count, sizeof count);
  for (int i = self->count - 1; i >= 0; i--)
    if (is_closed(&self->entries[i])) drop(self, i);
  if (self->polled == NULL || self->polled_size < self->count) {
    self->polled_size = self->size;
    self->polled = realloc(self->polled, (OWN + self->polled_size) * sizeof *self->polled);
  }
  self->polled[0] = (struct pollfd){self->fd, POLLIN, 0};
  self->polled[1] = (struct pollfd){self->changed, POLLIN, 0};
  for (int i = 0; i < self->count; i++) {
    const entry *each = &self->entries[i];
    int fd = each->pidfd >= 0 ? each->pidfd : (int)each->event.ident;
    self->polled[OWN + i] = (struct pollfd){fd, wanted(&each->event), 0};
  }
  return self->count;
}

static struct timespec now(void) {
  struct timespec found;
  clock_gettime(CLOCK_MONOTONIC, &found);
  return found;
}

/* What is left of a time-out that began to run at `begin`. */
static struct timespec left_of(struct timespec timeout, struct timespec begin) {
  struct timespec passed = now();
  long long left = (timeout.tv_sec - (passed.tv_sec - begin.tv_sec)) * 1000000000LL + timeout.tv_nsec -
                   (passed.tv_nsec - begin.tv_nsec);
  if (left < 0) left = 0;
  return (struct timespec){left / 1000000000, left % 1000000000};
}

/* Wait with the lock held, which others can have meanwhile. */
static int wait_for(queue *self, struct kevent *events, int nevents, const struct timespec *timeout) {
  struct timespec begin = now(), left;
  for (;;) {
    int polled = prepare(self), found, error;
    if (timeout != NULL) left = left_of(*timeout, begin);
    self->waiting = 1;
    pthread_mutex_unlock(&self->lock);
    found = ppoll(self->polled, (nfds_t)polled + OWN, timeout == NULL ? NULL : &left, NULL);
    error = errno;
    pthread_mutex_lock(&self->lock);
    self->waiting = 0;
    if (found < 0) {
      errno = error;
      return -1;
    }
    int changed = self->polled[1].revents != 0;
    int n = collect(self, polled, events, nevents);
    if (n > 0 || !changed) return n;
  }
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout) {
  queue *self = find_queue(kq);
  int result = 0;
  if (self == NULL) {
    errno = EBADF;
    return -1;
  }
  pthread_mutex_lock(&self->lock);
  for (int i = 0; i < nchanges && result >= 0; i++) {
    int error = apply(self, &changes[i]);
    if (error == 0) continue;
    if (result == nevents) {
      errno = error;
      result = -1;
      break;
    }
    events[result] = changes[i];
    events[result].flags = EV_ERROR;
    events[result++].data = error;
  }
  if (result == 0 && nevents > 0) result = wait_for(self, events, nevents, timeout);
  int error = errno;
  pthread_mutex_unlock(&self->lock);
  errno = error;
  return result;
}
