"""What bench_index.py is made of: vectors, measuring in a process of its own, tables and plots."""
