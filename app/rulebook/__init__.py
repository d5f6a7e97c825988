"""The policy versions of a project."""
