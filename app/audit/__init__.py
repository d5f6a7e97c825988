"""The append-only audit log: entries staged in the act's own transaction, then sequenced."""
