"""Alerts: findings grouped into incidents, and who is told of them when; no delivery in here."""
