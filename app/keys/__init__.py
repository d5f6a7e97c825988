"""Key hierarchy: master key, project keys, subject keys, signing keys."""
