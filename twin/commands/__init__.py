"""`python -m twin …`: what a person types and sees."""
