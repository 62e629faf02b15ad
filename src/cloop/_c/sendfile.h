/* sendfile(2) as Linux has it, also where its arguments stand in another order. */
#ifndef CLOOP_SENDFILE_H
#define CLOOP_SENDFILE_H

#include <errno.h>
#include <sys/types.h>
#if defined(__linux__)
#include <sys/sendfile.h>
#else
#include <sys/socket.h>
#include <sys/uio.h>
#endif

/* Returns how many bytes were sent, or -1 with errno. */
static inline ssize_t cloop_sendfile(int out, int in, off_t offset, size_t count) {
#if defined(__linux__)
  return sendfile(out, in, &offset, count);
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__DragonFly__)
  off_t sent = 0;
  int result;
#if defined(__APPLE__)
  sent = (off_t)count;
  result = sendfile(in, out, offset, &sent, NULL, 0);
#else
  result = sendfile(in, out, offset, count, NULL, &sent, 0);
#endif
  /* These report an error also where a part was sent before the socket was full or a signal came. */
  if (result < 0 && !((errno == EAGAIN || errno == EBUSY || errno == EINTR) && sent != 0)) return -1;
  return (ssize_t)sent;
#else
  (void)out, (void)in, (void)offset, (void)count;
  errno = ENOSYS;
  return -1;
#endif
}

#endif
