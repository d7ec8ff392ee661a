"""Forecasts from the command line: training data, models, predictions and their reports."""
