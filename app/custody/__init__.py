"""Custody of keys: their state, their rotation, and revealing what a token stands for."""
