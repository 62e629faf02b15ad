"""Methods that a program puts in the place of others, and that call those."""

import inspect
from unittest import mock


def counted(calls, owner, name):
    """Put a method in the place of one of an object's: it notes the call, and calls that."""
    original = getattr(owner, name)

    def method(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    setattr(owner, name, method)


def passing(owner, name, calls):
    """A mock of a class's method that notes the call and passes it on, as programs make it."""
    original = getattr(owner, name)

    def method(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    async def coroutine_method(*args, **kwargs):
        return await method(*args, **kwargs)

    effect = coroutine_method if inspect.iscoroutinefunction(original) else method
    return mock.patch.object(owner, name, autospec=True, side_effect=effect)
