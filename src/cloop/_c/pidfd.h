/* What a pidfd tells of a process that is gone; pidfd_open(2), ioctl(2) with PIDFD_GET_INFO. */
#ifndef CLOOP_PIDFD_H
#define CLOOP_PIDFD_H

#include <errno.h>

#ifdef __linux__

#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

/* The kernel's struct pidfd_info, as of Linux 6.13, with its first fields only. */
typedef struct {
  uint64_t mask, cgroup;
  uint32_t pid, tgid, ppid, user_and_group[8];
  int32_t exit_code;
} cloop_pidfd_info;

#define CLOOP_PIDFD_GET_INFO _IOWR(0xFF, 11, cloop_pidfd_info)
#define CLOOP_PIDFD_INFO_EXIT 8 /* from Linux 6.15 on */

/* How the process ended, as waitpid(2) has it, whoever has waited for it. -1 with errno: EAGAIN where it
 * has not been waited for yet; another where the kernel does not tell. */
static int cloop_exit_status(int pidfd) {
  cloop_pidfd_info info;
  memset(&info, 0, sizeof info);
  info.mask = CLOOP_PIDFD_INFO_EXIT;
  if (ioctl(pidfd, CLOOP_PIDFD_GET_INFO, &info) < 0) return -1;
  if (info.mask & CLOOP_PIDFD_INFO_EXIT) return info.exit_code;
  errno = EAGAIN;
  return -1;
}

#else

static int cloop_exit_status(int pidfd) {
  (void)pidfd;
  errno = ENOSYS;
  return -1;
}

#endif
#endif
