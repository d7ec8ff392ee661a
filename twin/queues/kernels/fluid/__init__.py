"""The compiled arithmetic of the fluid services.

Requests are a fluid: a tick of one second moves fractional amounts between stocks (waiting, in
service) and outcomes (served, failed, shed, timed out), so the cost of a tick does not depend on
how many requests it carries.  What a fluid cannot show, the chance of waiting although capacity is
left, comes from queueing theory as a distribution laid over the tick:

* probability of waiting: Erlang's C formula in the corrected diffusion form of Janssen, van
  Leeuwaarden & Zwart, "Refining square-root safety staffing by expanding Erlang C", Operations
  Research 59 (2011), which refines Halfin & Whitt, Operations Research 29 (1981); see
  `erlang`;
* mean of the wait of those who wait: (ca2 + cs2) / 2 * s / (c (1 - rho)), Allen & Cunneen (A. O.
  Allen, "Probability, Statistics, and Queueing Theory", 1990), with Poisson arrivals inside a
  tick (ca2 = 1); exponential, as in heavy traffic (Kingman 1962; Koellerstroem 1974);
* near saturation the stationary mean is far away in time.  The workload of a queue behaves like
  Brownian motion reflected at zero (Iglehart & Whitt 1970): its mean rises by diffusion, with the
  square growing by 2/pi * (ca2 + cs2) / mu each second, and falls by drift, 1 - rho each second.
  The stationary value is approached at that pace from either side (time constant of the order
  (ca2 + cs2) / (mu (1 - rho)^2), as in Odoni & Roth, Operations Research 31 (1983)), and so it
  stays finite as rho passes 1, where the fluid backlog takes over.  Under overload the same
  Brownian motion exceeds its fluid path by what it was reflected in the beginning, an exponential
  amount with mean (ca2 + cs2) / (2 mu (rho - 1)), which stays until the backlog is gone.

The response time is gamma distributed (service, plus the service of the synchronous calls), plus
zero or an exponential wait, plus the fluid wait of the backlog here and at the callee.  The sum of
a gamma and an exponential variate is tabulated once per service as the logarithm of its survival
function, so that shares of 1e-8 are as exact as shares of one half.

What it leaves out: service that is cut short when its client gives up; the spread of the stochastic
wait at a callee (callers see its mean); waits within a second when a finite queue limit is about
as short as the noise (there a real queue sheds a little below saturation); and what a request
still waits for when its slot is free again counts as served at once, so a backlog at a callee
fails its callers when the calls fail, not before.

One pass over the services, callers first, moves the fluid; a second one, callees first, tells the
callers what became of their calls.

`advancing` walks over ticks and services, `moving` and `stochastic` are the first pass, `answering`
the second, `sampling` makes the figures of a sample, `layout` says what the arrays hold.
"""
