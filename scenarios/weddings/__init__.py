"""Weddings: what was booked, what really happens, and the load of both."""
