"""Searchable structures over embeddings and words."""
