"""Room 1: which file descriptors fired? `new_poller` makes the poller this build has."""

try:
    from cloop.poll.epoll import new_poller
except ModuleNotFoundError:
    from cloop.poll.kqueue import new_poller

__all__ = ("new_poller",)
