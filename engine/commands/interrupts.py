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

    Any other exception that nobody can be told of is shown as before.
    """
    show = sys.unraisablehook

    def repeat_or_show(lost: sys.UnraisableHookArgs) -> None:
        if lost.exc_type is not KeyboardInterrupt:
            show(lost)
            return
        timer = threading.Timer(AGAIN_S, _interrupt)
        timer.daemon = True
        timer.start()

    sys.unraisablehook = repeat_or_show


def _interrupt() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
