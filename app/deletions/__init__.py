"""Deletion of past events, and of one property from history: previewed, hidden at once, undone for some days, then erased."""
