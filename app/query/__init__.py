"""Every read of events and profiles."""
