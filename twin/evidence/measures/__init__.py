"""What makes the rows of the product's own claims; a team's own can stand anywhere."""
