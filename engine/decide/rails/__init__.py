"""What keeps a wish from doing harm: limits, rests, protection, cost."""
