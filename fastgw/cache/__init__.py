"""What a shared cache may keep and answer (RFC 9111), and where it keeps it: memory that all workers share, and files."""
