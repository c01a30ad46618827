"""Decides when to flush and how long `next` is withheld. No I/O."""
