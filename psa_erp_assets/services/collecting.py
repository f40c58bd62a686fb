"""Python's search for reference cycles, put off where it finds nothing and costs a fifth of the time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Look for no reference cycles meanwhile: a contract's month makes values by the hundred thousand, without any.

    What has no cycle is freed as always. The pause is the process's; where two overlap, the first to end ends it.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
