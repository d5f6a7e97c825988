"""Who may do what: projects, principals, roles, permissions."""
