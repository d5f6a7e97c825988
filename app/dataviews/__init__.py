"""Data views and teams: who sees which part of a project."""
