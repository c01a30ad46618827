"""Small types and helpers that every package may use."""
