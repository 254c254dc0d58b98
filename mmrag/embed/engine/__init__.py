"""Run a local model over inputs of any number: batches by token budget, prefetch, several devices."""
