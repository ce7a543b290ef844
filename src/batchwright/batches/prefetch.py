"""Work ahead in one thread. It holds no state that matters: stopped at any moment, nothing is lost.

Guarantee: the same items in the same order; an error in the thread is raised where the item is asked for; closing the
iterator ends the thread. Price: one thread and `depth` more buffers; ~20 µs per item, so it pays where reading waits
for a disk or where the consumer's own work releases the interpreter lock (a training step does).
"""

from collections.abc import Generator, Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    pass


def prefetched(items: Iterator[T], depth: int) -> Generator[T]:
    """The items, of which up to `depth` are made before they are asked for."""
    made: SimpleQueue[T | _Failure | _End] = SimpleQueue()
    room = Semaphore(depth)
    stopped = False

    def work() -> None:
        try:
            while True:
                room.acquire()
                if stopped:
                    return
                made.put(next(items))
        except StopIteration:
            made.put(_End())
        except BaseException as error:  # whatever it was, the consumer gets it
            made.put(_Failure(error))

    thread = Thread(target=work, name="batchwright-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, _End):
                return
            if isinstance(item, _Failure):
                raise item.error
            # Room for another one only now that this one was asked for: the buffers behind the items are counted.
            room.release()
            yield item
    finally:
        stopped = True
        room.release()
        thread.join()
