"""What an estimate tells."""

from __future__ import annotations

from dataclasses import dataclass

from mmrag.estimate.amounts import Amount


@dataclass(frozen=True, slots=True)
class KindEstimate:
    """Files of one kind, as their suffix tells it: how many, and what is in them."""

    kind: str
    files: int
    bytes: int
    sampled: int
    pages: Amount
    items: Amount


@dataclass(frozen=True, slots=True)
class Sampled:
    """What an estimate rests on.

    Args:
        files: Files that were read.
        items: Items that they gave.
        embedded: How many of these were embedded.
        seconds: What all of it took, the loading of the model included.
        unfinished: Files that were begun, and not read when the time was up.
    """

    files: int
    items: int
    embedded: int
    seconds: float
    unfinished: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """Where the time of a sync goes; `total` allows for what runs side by side."""

    load: float
    read: Amount
    split: Amount
    embed: Amount
    write: Amount
    total: Amount


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in bytes.

    Args:
        process: The peak of this process while it took the sample; None where the system does not tell.
        reader: The peak of one process that read.
        readers: How many of them a sync starts.
        gpu: The peak of GPU memory; None without a GPU.
        weights: What the weights take as 16-bit numbers, or as the recipe says; None where it is not known.
    """

    process: int | None
    reader: int | None
    readers: int
    gpu: int | None
    weights: int | None


@dataclass(frozen=True, slots=True)
class Disk:
    """Disk in bytes: vectors, and all else that the store keeps."""

    vectors: Amount
    others: Amount


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a sync of a folder will take.

    Args:
        recipe: The recipe's name.
        embedder: What makes the vectors.
        files: All files of the folder; `unchanged` of them are indexed already, `blocked` cannot be read.
        kinds: Those that are to be read, by kind.
        items: What they hold; `embed` of them have words or pictures of their own and need a vector.
        notes: What limits the estimate.
    """

    recipe: str
    embedder: str
    files: int
    bytes: int
    unchanged: int
    blocked: int
    kinds: tuple[KindEstimate, ...]
    pages: Amount
    items: Amount
    embed: Amount
    pictures: Amount
    seconds: Seconds
    memory: Memory
    disk: Disk
    sampled: Sampled
    notes: tuple[str, ...]
