"""The compiled event loop of the request resolution: every request on its own.

Each service is one first-come-first-served queue before `slots` equal servers, so the waits are
those of Kiefer & Wolfowitz's recursion ("On the theory of queues with many servers", Trans. Amer.
Math. Soc. 78, 1955), here as events, because capacity changes, requests give up, and a response
waits for calls to other services.

The events lie in a timing wheel (Varghese & Lauck, "Hashed and hierarchical timing wheels", SOSP
1987): buckets of a fraction of a second for the second in progress, one list a second beyond it.
Taking the next event costs the same however many requests are in flight.  Within a bucket events
are kept sorted, so the order is exact.

A request holds a slot for its service time, then makes its asynchronous calls, then its
synchronous ones, one after the other, and is answered with the last of them; its slot is free
meanwhile.  A call that fails fails the request that made it, and the rest is not called.

`looping` takes one event after the other, `wheel` keeps them, `queueing` has what happens to a
request until it starts, `answering` what happens then, `capacity` what a change of the slots does,
`sampling` the figures of a sample, `layout` the arrays, `recursion` the reference.
"""
