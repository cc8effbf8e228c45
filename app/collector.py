"""Python's garbage collector, as a server needs it."""

import gc


def tune_collector() -> None:
    """Call it once all is made that stays for as long as the process lives: this is never walked again, which was most
    of the API's p99 and a fifth of a worker's CPU (measured). What comes after dies young and makes few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
