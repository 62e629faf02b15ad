/* kqueue(2) as FreeBSD's <sys/event.h> declares it, as far as cloop uses it; see ../kqueue.c. */
#ifndef CLOOP_TESTS_EVENT_H
#define CLOOP_TESTS_EVENT_H

#include <stdint.h>
#include <time.h>
#include <unistd.h>

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_PROC (-5)
#define EVFILT_USER (-11)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_EOF 0x8000
#define EV_ERROR 0x4000

#define NOTE_TRIGGER 0x01000000
#define NOTE_EXIT 0x80000000

struct kevent {
  uintptr_t ident;
  short filter;
  unsigned short flags;
  unsigned int fflags;
  intptr_t data;
  void *udata;
};

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout);

/* Whoever includes this closes nothing but kqueues. */
int kqueue_close(int kq);
#define close kqueue_close

#endif
