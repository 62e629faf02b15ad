"""Attributes of a loop that were deleted.

asyncio's loops keep theirs in the instance's dict. `mock.patch.object(loop, name, value)` sets one, and at
its end deletes it, and sets it again to what it was before if there is none then. What the engine keeps in C
can't be taken out of it: such an attribute is hidden, and the engine goes on with the value that it had last.
"""

from __future__ import annotations

import types
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from cloop.loop import Loop


class Hidden:
    """Stands before an attribute of a class for as long as it is deleted on any of its instances."""

    def __init__(self, owner: type, name: str, kept: Any) -> None:
        self.owner = owner
        self.name = name
        self.kept = kept  # the descriptor of the attribute that there is
        self.on: weakref.WeakSet[Any] = weakref.WeakSet()

    all: ClassVar[dict[tuple[type, str], Hidden]] = {}

    def __get__(self, loop: Any, owner: type) -> Any:
        if loop is None:
            return self.kept
        if loop in self.on:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")
        return self.kept.__get__(loop, owner)

    def __set__(self, loop: Any, value: Any) -> None:
        self.kept.__set__(loop, value)
        self.on.discard(loop)
        if not self.on and self.all.pop((self.owner, self.name), None) is not None:
            delattr(self.owner, self.name)

    def __delete__(self, loop: Any) -> None:
        if loop in self.on:
            raise AttributeError(self.name)
        self.on.add(loop)


def delete(loop: Loop, owner: type, name: str) -> bool:
    """Delete an attribute that the loop keeps in C; False where it is none of those."""
    kept: Any = getattr(type(loop), name, None)
    if not isinstance(kept, types.GetSetDescriptorType):
        return False
    hidden = Hidden.all.get((owner, name))
    if hidden is None:
        # Raises AttributeError for what can't be set either.
        kept.__set__(loop, kept.__get__(loop, owner))
        hidden = Hidden.all[owner, name] = Hidden(owner, name, kept)
        setattr(owner, name, hidden)
    hidden.__delete__(loop)
    return True
