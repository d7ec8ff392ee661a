"""Ctrl-C comes again where Python has lost it.

Python raises KeyboardInterrupt between two instructions of the main thread.  In a callback from C,
a finalizer or a callback of the garbage collector nobody can be told of an exception: Python prints
"Exception ignored" and goes on (<https://docs.python.org/3/library/sys.html#sys.unraisablehook>),
and a run that somebody has ended would run to its end.
"""

from __future__ import annotations

import signal
import sys
import threading

AGAIN_S = 0.02
"""What loses an interrupt is over by then, or loses it once more and is asked once more."""


def repeat_lost_interrupts() -> None:
    """From now on send SIGINT to the main thread anew whenever a KeyboardInterrupt was lost.

    What is lost while one is on its way comes again with it: a second one would end what the first
    one only asks to stop.  Any other exception that nobody can be told of is shown as before.
    """
    show = sys.unraisablehook
    on_its_way = False

    def repeat_or_show(lost: sys.UnraisableHookArgs) -> None:
        nonlocal on_its_way
        if lost.exc_type is not KeyboardInterrupt:
            show(lost)
        elif not on_its_way:
            on_its_way = True
            timer = threading.Timer(AGAIN_S, interrupt)
            timer.daemon = True
            timer.start()

    def interrupt() -> None:
        nonlocal on_its_way
        on_its_way = False  # before the signal, which may be lost at once
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    sys.unraisablehook = repeat_or_show
