"""Ask a folder of documents a question: python examples/ask_folder.py [FOLDER] [QUESTION]."""

import sys
from pathlib import Path

from mmrag import Pipeline


def main(folder: str, question: str) -> None:
    """Print the answer and where each of its sentences stands."""
    pipeline = Pipeline.from_folder(folder)  # reads what is new or changed, then is ready
    answer = pipeline.ask(question)
    print(f"{answer.text}\n({answer.status})")
    for citation in answer.citations:
        print(f"- {citation.item.source} {citation.locator}: {citation.quote!r}")


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    corpus = Path(__file__).parent / "corpus"
    main(given.get(1, str(corpus)), given.get(2, "How long is the warranty on the Larkwind 150?"))
