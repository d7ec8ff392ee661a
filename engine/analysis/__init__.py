"""What state a service is in, and what earlier actions did to it."""
