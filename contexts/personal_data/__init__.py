"""What is kept of a person: exported and erased as a whole, whichever package keeps it."""
