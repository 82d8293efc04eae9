"""Long runs that look for leaks; started by hand, never by pytest."""
