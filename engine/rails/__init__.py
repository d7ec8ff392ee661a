"""What keeps a recommendation from doing harm: limits, cost, approval, rollback plans."""
