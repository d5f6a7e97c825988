"""Sanitised re-import: known people become nobody in particular, and what is counted stays."""
