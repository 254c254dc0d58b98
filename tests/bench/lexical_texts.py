"""Passages and queries for `bench_lexical.py`: made by code, or cut from the text files of a folder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from lexical_engines import passages

SUFFIXES = {".txt", ".md", ".rst"}


def write_made(corpus: Path, count: int) -> None:
    """Write passages of made words, as frequent as those of a language are."""
    rng = np.random.default_rng(0)
    starts, vowels, ends = (
        ["b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr"],
        "aeiou",
        ["", "n", "r", "s", "t", "l"],
    )
    made: dict[str, None] = {}
    while len(made) < 80_000:
        syllables = (
            starts[rng.integers(len(starts))] + vowels[rng.integers(5)] + ends[rng.integers(len(ends))]
            for _ in range(rng.integers(1, 5))
        )
        made["".join(syllables)] = None
    vocabulary = np.array(sorted(made, key=lambda word: len(word) + 3 * rng.random()))
    shares = np.cumsum(1 / (np.arange(len(vocabulary)) + 2.7) ** 1.05)
    with corpus.open("w", encoding="utf-8") as file:
        for start in range(0, count, 10_000):
            bodies = np.clip(rng.lognormal(math.log(85), 0.55, min(10_000, count - start)), 8, 400).astype(
                int
            )
            numbers = np.searchsorted(shares, rng.random(int((bodies + 12).sum())) * shares[-1])
            flat = vocabulary[numbers].tolist()
            at = 0
            for body in (bodies + 12).tolist():
                cut = flat[at : at + body]
                at += body
                pieces = (cut[:5], cut[5:9], cut[9:12], cut[12:])
                file.write("\t".join(" ".join(piece) for piece in pieces) + "\n")


def write_read(corpus: Path, folder: Path, count: int) -> None:
    """Write passages of 120 words of a folder's text files."""
    found = 0
    with corpus.open("w", encoding="utf-8") as file:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
            text = path.read_text(encoding="utf-8", errors="replace").lower().split()
            for start in range(0, len(text), 120):
                if found == count:
                    return
                name = " ".join(path.stem.replace("_", " ").replace("-", " ").split())
                file.write(
                    "\t".join((name, path.parent.name, name, " ".join(text[start : start + 120]))) + "\n"
                )
                found += 1
    if not found:
        raise SystemExit(f"{folder} holds no text.")


def questions(corpus: Path, count: int) -> list[str]:
    """Return queries: words of passages, in another order."""
    rng = np.random.default_rng(1)
    total = sum(1 for _ in passages(corpus))
    chosen = set(rng.integers(0, total, count * 2).tolist())
    found = []
    for i, passage in enumerate(passages(corpus)):
        if i in chosen and len(plain := [word for word in passage[3].split() if word.isalnum()]) >= 2:
            wanted = rng.choice(plain, min(len(plain), int(rng.integers(2, 9))), replace=False)
            found.append(" ".join(wanted))
    rng.shuffle(found)
    return found[:count]
