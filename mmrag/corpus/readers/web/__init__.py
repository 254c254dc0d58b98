"""Read web pages and Markdown."""
