"""Small types that every package may use."""
