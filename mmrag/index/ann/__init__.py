"""Approximate nearest neighbour search with FAISS: kinds, building, calibration, filters, updates."""
