"""Whether what is done again and again leaves more behind each time."""

import gc
import sys
from collections.abc import Callable
from statistics import median_low

from tests.support import collect_garbage, debug_counts, open_fds

# It keeps names alive in whichever of its places they fall.
clear_type_cache = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache

TIMES = 3
WARM_UP_ROUNDS = 2
ROUNDS = 5
# Caches, freelists and specialised code of the interpreter grow for a while, a leak for ever.
SITTINGS = 4


def counts() -> dict[str, int]:
    """What there is in this process now, by kind, once the garbage is collected."""
    collect_garbage()
    clear_type_cache()
    found = {
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "descriptors": len(open_fds()),
    }
    if hasattr(sys, "gettotalrefcount"):
        found["references"] = sys.gettotalrefcount()
    return found | (debug_counts() or {})


def growth(act: Callable[[], object]) -> dict[str, int]:
    """By kind, how much more a round of acts leaves behind each time; empty where nothing goes on growing."""
    found = {}
    for _ in range(SITTINGS):
        found = sitting(act)
        if not found:
            break
    return found


def sitting(act: Callable[[], object]) -> dict[str, int]:
    """The same, of some rounds in a row, by their median.

    Less than one for each act is no leak but some table that has become larger. This function itself
    holds as much in each round as in the one before.
    """
    for _ in range(WARM_UP_ROUNDS):
        repeat(act)
    before = counts()
    grown = {kind: [0] * ROUNDS for kind in before}
    for number in range(ROUNDS):
        repeat(act)
        now = counts()
        for kind, count in now.items():
            grown[kind][number] = count - before[kind]
        before = now
    medians = {kind: median_low(differences) for kind, differences in grown.items()}
    return {kind: more for kind, more in medians.items() if more >= TIMES}


def repeat(act: Callable[[], object]) -> None:
    """One round."""
    for _ in range(TIMES):
        act()
