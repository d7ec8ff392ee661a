"""What happens to the platform: weddings, the load they cause, and faults.

Everything here is a function of configuration and named random streams, so both worlds (the
twin and a live system) can replay the same day.  It knows the engine's vocabulary and nothing
else of the engine.
"""
