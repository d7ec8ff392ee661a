"""One file or folder for each thing behind a port."""
