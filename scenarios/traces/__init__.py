"""Recorded load, and a calendar of events that goes with it."""
