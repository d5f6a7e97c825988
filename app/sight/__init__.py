"""What a principal may see, decided in one place."""
