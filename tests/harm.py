"""What goes wrong again and again while something else goes on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def again_and_again(act: Callable[[], object], every: float, at_most: int = 200) -> Iterator[Callable[[], int]]:
    """
    Do *act* every so many seconds until the block ends, or it was done often enough; gives how often that was.

    What *act* raises, the block raises in the end.
    """
    done, times, failed = threading.Event(), 0, list[BaseException]()

    def go_on() -> None:
        nonlocal times
        while times < at_most and not done.wait(every):
            try:
                act()
            except BaseException as error:
                failed.append(error)
                return
            times += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield lambda: times
    finally:
        done.set()
        thread.join()
    if failed:
        raise failed[0]
