"""When Python looks for garbage, in processes that live long and do many small things."""

import gc


def settle_garbage_collection() -> None:
    """Have collections of garbage pass over what is loaded by now, and come seldom.

    Each full one would walk all of Django (0.15 s), and each run and each socket that opens brings the next
    one nearer. What waits for the next one are cycles of at most some ten thousand objects, a few
    megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
