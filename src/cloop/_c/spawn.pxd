"""Starting a child process without waiting for it, and how one has ended; spawn.h and pidfd.h say how."""

from posix.types cimport pid_t

cdef extern from "spawn.h":
    enum:
        CLOOP_STACK

    bint CLOOP_CAN_SPAWN

    ctypedef struct cloop_start:
        char **executables
        char **argv
        char **envp
        const char *cwd
        const int *keep
        int keep_count
        int to_stdin
        int to_stdout
        int to_stderr
        int close_fds
        int restore_signals
        int new_session
        int process_group
        int umask
        const unsigned int *groups
        int group_count
        long long group
        long long user
        int report
        int pidfd

    int cloop_open_report(int *ends)
    pid_t cloop_spawn(cloop_start *self, char *stack)

cdef extern from "pidfd.h":
    int cloop_exit_status(int pidfd)
