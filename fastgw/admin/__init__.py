"""The admin process: Admin API over the store."""
