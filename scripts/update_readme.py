"""Writes the table "what happens to my file" into the README, from what the readers say of themselves.

python scripts/update_readme.py
"""

import re
from pathlib import Path

from mmrag.corpus import load_readers
from mmrag.corpus.readers.table_of_formats import as_markdown

README = Path(__file__).parents[1] / "README.md"
MARKED = re.compile(r"(<!-- formats: .*? -->\n).*?(<!-- end of formats -->)", re.DOTALL)


def updated(text: str) -> str:
    """Return the README's text with the present table."""
    return MARKED.sub(lambda found: f"{found[1]}\n{as_markdown(load_readers())}\n{found[2]}", text)


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
