"""Task adapters: where they are kept, which one an input takes, and how they run without races."""
