"""What happens later: RQ only delivers an id, and the database is the truth."""
