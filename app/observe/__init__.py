"""What passes the gate, looked at from the side: counts of what detectors find, drafts tried on history, suggestions."""
