"""What goes wrong: kinds of fault, each with its figures, its effect and how a hunt draws it."""
