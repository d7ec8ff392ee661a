"""Ways out for notices, a receiver each: `engine.ports.notifier.NoticeSender`."""
