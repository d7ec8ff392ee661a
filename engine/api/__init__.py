"""The engine over HTTP: what it sees and does, and what people ask of it.

The API runs in a thread of its own, with an event loop of its own, beside the shell.  The shell
hands over one frozen snapshot after each step and waits for nobody; everything that is read comes
from the newest snapshot, and everything that is asked for goes through the store, as on the command
line.  So whatever clients do, slow or dead or many, no step waits for them.
"""
