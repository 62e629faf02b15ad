/* A child process that shares the parent's memory until it execs, or has a copy of it, beside a parent
 * that does not wait for it; api/spawn.pyx is the manual.
 *
 * As after vfork(2) parent and child have one memory; unlike there, both run. So the child has a stack of
 * its own, reads nothing but what `cloop_start` holds, and calls nothing of the C library: that would
 * write `errno`, which is the parent thread's. Signals are blocked until none has a handler any more.
 *
 * What the child does, and in which order, is derived from CPython's Modules/_posixsubprocess.c (PSF
 * License Agreement).
 */
#ifndef CLOOP_SPAWN_H
#define CLOOP_SPAWN_H

#include "compat.h"

#include <signal.h>
#include <string.h>

enum { CLOOP_STACK = 32768 }; /* posix_spawn(3) of glibc has as much */

typedef struct {
  char **executables; /* tried in turn */
  char **argv;
  char **envp;
  const char *cwd; /* NULL: the parent's */
  const int *keep; /* sorted: what stays open when the rest is closed, `report` among them */
  int keep_count;
  int to_stdin, to_stdout, to_stderr; /* or -1 */
  int close_fds;
  int restore_signals;
  int new_session;
  int process_group; /* or -1 */
  int umask;         /* or -1 */
  const unsigned int *groups;
  int group_count; /* or -1 */
  int64_t group, user; /* or -1 */
  int report;        /* where what goes wrong is written, as _posixsubprocess does */
  sigset_t mask;     /* of the signals blocked in the child */
  int no_handlers;   /* the kernel has taken the handlers of signals away */
  int pidfd;         /* of the child, for who started it; or -1 */
} cloop_start;

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(__ILP32__)
#define CLOOP_CAN_SPAWN 1

#include <sched.h>
#include <sys/syscall.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif

/* The result, or an error as a negative number. */
static inline long cloop_call(long number, long a, long b, long c, long d) {
#ifdef __x86_64__
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
#else
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory", "cc");
  return x0;
#endif
}

static long cloop_set_inheritable(int fd, int inheritable) {
  long flags = cloop_call(SYS_fcntl, fd, F_GETFD, 0, 0);
  if (flags < 0) return flags;
  long wanted = inheritable ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC;
  return wanted == flags ? 0 : cloop_call(SYS_fcntl, fd, F_SETFD, wanted, 0);
}

/* Out of the way of the three standard numbers. */
static long cloop_move_up(int *fd, int last) {
  while (*fd >= 0 && *fd <= last) {
    long moved = cloop_call(SYS_fcntl, *fd, F_DUPFD_CLOEXEC, last + 1, 0);
    if (moved < 0) return moved;
    *fd = (int)moved;
  }
  return 0;
}

static long cloop_become(int fd, int number) {
  if (fd == -1) return 0;
  return fd == number ? cloop_set_inheritable(fd, 1) : cloop_call(SYS_dup3, fd, number, 0, 0);
}

static long cloop_arrange_fds(cloop_start *self) {
  long result = 0;
  for (int i = 0; i < self->keep_count && result >= 0; i++)
    if (self->keep[i] != self->report) result = cloop_set_inheritable(self->keep[i], 1);
  if (result >= 0) result = cloop_move_up(&self->to_stdout, 0);
  if (result >= 0) result = cloop_move_up(&self->to_stderr, 1);
  if (result >= 0) result = cloop_become(self->to_stdin, 0);
  if (result >= 0) result = cloop_become(self->to_stdout, 1);
  if (result >= 0) result = cloop_become(self->to_stderr, 2);
  return result;
}

/* The kernel's struct sigaction, on both architectures. */
typedef struct {
  void *handler;
  unsigned long flags;
  void *restorer;
  uint64_t mask;
} cloop_sigaction;

static void cloop_reset_signals(cloop_start *self) {
  const cloop_sigaction dfl = {0};
  if (self->no_handlers) {
    if (!self->restore_signals) return;
    cloop_call(SYS_rt_sigaction, SIGPIPE, (long)&dfl, 0, 8);
    cloop_call(SYS_rt_sigaction, SIGXFSZ, (long)&dfl, 0, 8);
    return;
  }
  for (int sig = 1; sig <= 64; sig++) {
    cloop_sigaction now;
    int restored = self->restore_signals && (sig == SIGPIPE || sig == SIGXFSZ);
    if (cloop_call(SYS_rt_sigaction, sig, 0, (long)&now, 8) < 0) continue;
    if (now.handler != (void *)SIG_DFL && (now.handler != (void *)SIG_IGN || restored))
      cloop_call(SYS_rt_sigaction, sig, (long)&dfl, 0, 8);
  }
}

static int cloop_is_kept(const cloop_start *self, int fd) {
  for (int i = 0; i < self->keep_count; i++)
    if (self->keep[i] == fd) return 1;
  return 0;
}

/* Before Linux 5.9, or where it is forbidden. */
static void cloop_close_listed(const cloop_start *self) {
  char buffer[1024] __attribute__((aligned(8)));
  int folder = (int)cloop_call(SYS_openat, AT_FDCWD, (long)"/proc/self/fd", O_RDONLY | O_CLOEXEC, 0);
  if (folder < 0) {
    for (int fd = 3; fd < 65536; fd++)
      if (!cloop_is_kept(self, fd)) cloop_call(SYS_close, fd, 0, 0, 0);
    return;
  }
  long size;
  while ((size = cloop_call(SYS_getdents64, folder, (long)buffer, sizeof buffer, 0)) > 0) {
    for (long at = 0; at < size;) {
      /* struct linux_dirent64: inode, offset, length of the record, type, name */
      const char *name = buffer + at + 19;
      int fd = 0;
      for (; *name >= '0' && *name <= '9'; name++) fd = fd * 10 + (*name - '0');
      if (*name == 0 && fd > 2 && fd != folder && !cloop_is_kept(self, fd))
        cloop_call(SYS_close, fd, 0, 0, 0);
      at += *(const unsigned short *)(buffer + at + 16);
    }
  }
  cloop_call(SYS_close, folder, 0, 0, 0);
}

static void cloop_close_others(const cloop_start *self) {
  unsigned int first = 3;
  for (int i = 0; i <= self->keep_count; i++) {
    unsigned int next = i < self->keep_count ? (unsigned int)self->keep[i] : ~0u;
    if (next > first && cloop_call(SYS_close_range, first, i < self->keep_count ? next - 1 : next, 0, 0) < 0) {
      cloop_close_listed(self);
      return;
    }
    if (next >= first) first = next + 1;
  }
}

/* `OSError:<errno in hex>:<stage>`, shorter than a pipe's atomic write. */
static void cloop_report(int fd, long error, const char *stage) {
  char text[32] = "OSError:";
  int at = 8;
  for (int shift = 12; shift >= 0; shift -= 4)
    text[at++] = "0123456789ABCDEF"[(error >> shift) & 15];
  text[at++] = ':';
  for (const char *from = stage; *from; from++) text[at++] = *from;
  cloop_call(SYS_write, fd, (long)text, at, 0);
}

static int cloop_child(void *argument) {
  cloop_start *self = argument;
  long error, first_error = 0;
  const char *stage = "noexec";
  if ((error = cloop_arrange_fds(self)) < 0) goto failed;
  if (self->cwd && (error = cloop_call(SYS_chdir, (long)self->cwd, 0, 0, 0)) < 0) {
    stage = "noexec:chdir";
    goto failed;
  }
  if (self->umask >= 0) cloop_call(SYS_umask, self->umask, 0, 0, 0);
  cloop_reset_signals(self);
  cloop_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&self->mask, 0, 8);
  if (self->new_session && (error = cloop_call(SYS_setsid, 0, 0, 0, 0)) < 0) goto failed;
  if (self->process_group >= 0 && (error = cloop_call(SYS_setpgid, 0, self->process_group, 0, 0)) < 0)
    goto failed;
  /* The kernel's own calls: the C library's would have every thread of the parent change too. */
  if (self->group_count >= 0 &&
      (error = cloop_call(SYS_setgroups, self->group_count, (long)self->groups, 0, 0)) < 0)
    goto failed;
  if (self->group >= 0 && (error = cloop_call(SYS_setregid, self->group, self->group, 0, 0)) < 0) goto failed;
  if (self->user >= 0 && (error = cloop_call(SYS_setreuid, self->user, self->user, 0, 0)) < 0) goto failed;
  stage = "";
  if (self->close_fds) cloop_close_others(self);
  for (char **executable = self->executables; *executable; executable++) {
    error = cloop_call(SYS_execve, (long)*executable, (long)self->argv, (long)self->envp, 0);
    if (error != -ENOENT && error != -ENOTDIR && first_error == 0) first_error = error;
  }
  if (first_error) error = first_error;
failed:
  cloop_report(self->report, -error, stage);
  cloop_call(SYS_exit_group, 255, 0, 0, 0);
  return 0;
}

/* The kernel's struct clone_args, as of Linux 5.3. */
typedef struct {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
} cloop_clone_args;

/* clone3(2), for which the C library has no function. The new process has a stack of its own and so
 * can't return from where it begins. */
static long cloop_clone3(cloop_clone_args *args, int (*child)(void *), void *argument) {
#ifdef __x86_64__
  long result;
  register int (*r8)(void *) __asm__("r8") = child;
  register void *r9 __asm__("r9") = argument;
  __asm__ volatile("syscall\n\t"
                   "testq %%rax, %%rax\n\t"
                   "jnz 1f\n\t"
                   "movq %%r9, %%rdi\n\t"
                   "callq *%%r8\n"
                   "1:"
                   : "=a"(result)
                   : "a"((long)SYS_clone3), "D"(args), "S"(sizeof *args), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory", "cc");
  return result;
#else
  register long x8 __asm__("x8") = SYS_clone3;
  register long x0 __asm__("x0") = (long)args;
  register long x1 __asm__("x1") = sizeof *args;
  register int (*x2)(void *) __asm__("x2") = child;
  register void *x3 __asm__("x3") = argument;
  __asm__ volatile("svc 0\n\t"
                   "cbnz x0, 1f\n\t"
                   "mov x0, x3\n\t"
                   "blr x2\n"
                   "1:"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                   : "memory", "cc");
  return x0;
#endif
}

/* The two ends of a pipe, the child's out of the way of its standard descriptors; or -1 with errno. */
static int cloop_open_report(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  if (ends[1] > 2) return 0;
  int low = ends[1], error;
  ends[1] = fcntl(low, F_DUPFD_CLOEXEC, 3);
  error = errno;
  close(low);
  if (ends[1] >= 0) return 0;
  close(ends[0]);
  errno = error;
  return -1;
}

/* Whether it changes who it is. In the parent's memory that would give who it becomes a way to the parent. */
static int cloop_changes_user(const cloop_start *self) {
  return self->group_count >= 0 || self->group >= 0 || self->user >= 0;
}

/* The child's PID, or -1 with errno. The structure, what it points to and the stack must stay until the
 * other end of `report` has found its end. */
static pid_t cloop_spawn(cloop_start *self, char *stack) {
  const int share = cloop_changes_user(self) ? 0 : CLONE_VM;
  cloop_clone_args args = {
      .flags = share | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
      .pidfd = (uintptr_t)&self->pidfd,
      .exit_signal = SIGCHLD,
      .stack = (uintptr_t)stack,
      .stack_size = CLOOP_STACK,
  };
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &self->mask);
  self->no_handlers = 1;
  pid_t pid = (pid_t)cloop_clone3(&args, cloop_child, self);
  int error = 0;
  if (pid < 0) {
    /* Before Linux 5.5, where it is forbidden, without a descriptor for the pidfd; or in any case. */
    self->no_handlers = 0;
    self->pidfd = -1;
    pid = clone(cloop_child, stack + CLOOP_STACK, share | SIGCHLD, self);
    error = errno;
  }
  pthread_sigmask(SIG_SETMASK, &self->mask, NULL);
  errno = error;
  return pid;
}

#else
#define CLOOP_CAN_SPAWN 0

static int cloop_open_report(int ends[2]) {
  (void)ends;
  errno = ENOSYS;
  return -1;
}

static pid_t cloop_spawn(cloop_start *self, char *stack) {
  (void)self;
  (void)stack;
  errno = ENOSYS;
  return -1;
}

#endif
#endif
