"""The register: the one table that knows who is who."""
