"""What the engine needs of the world, as Protocols: one module a port, all of them asynchronous.

An adapter is a class of one's own that has these methods; it inherits nothing.  A blocking library
runs in a thread behind the port (`engine.adapters.blocking`).  Whatever an adapter raises is a
trouble of the engine that begins and ends, never its end.  `engine.ports.contract` has the tests
that every adapter passes, to be run on one's own as well.
"""
