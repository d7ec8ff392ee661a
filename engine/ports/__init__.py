"""The ports: what the engine asks of the world around it, and how an adapter must answer."""
