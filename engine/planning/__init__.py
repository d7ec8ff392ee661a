"""Months ahead: what will be needed, what to buy, what limits first."""
