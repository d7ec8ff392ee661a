"""Worker processes behind HAProxy on one machine as an infrastructure."""
