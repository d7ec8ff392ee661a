"""From the booked schedule to the load to come."""
