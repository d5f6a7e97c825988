"""From any sender's bytes to a durable, policy-enforced append."""
