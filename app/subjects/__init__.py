"""Data-subject requests and opt-outs."""
