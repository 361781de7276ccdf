"""msgspec Structs of everything a user can write; no behaviour."""
