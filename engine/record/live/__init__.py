"""The record of a live run: read from its journal, worked out, written."""
