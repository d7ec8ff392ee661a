"""The page of evidence: one printed page for who decides, and all the rest for who checks."""
