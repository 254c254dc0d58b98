"""Embedders: what turns items and questions into vectors."""
