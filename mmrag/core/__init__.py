"""Nouns and contracts: standard library and numpy only."""
