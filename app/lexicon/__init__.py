"""The data dictionary of a project: events and properties as seen and as described, and what is enforced by name."""
