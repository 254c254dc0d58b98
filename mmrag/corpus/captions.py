"""Describe the pictures of what was read in words, each picture once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmrag.core.errors import SourceError, TooLarge
from mmrag.core.identity import digest_json
from mmrag.core.protocols import Captioner
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Part, Source
from mmrag.corpus.ocr import OcrMemory

DESCRIBED_BY = "described_by"
"""Metadata of an item with a description that a model wrote: the model and its prompt."""

MAX_CHARACTERS = 20_000
"""A longer description, some 10 pages, is that of a model that found no end."""


class Captions:
    """Adds descriptions to the figures of a reading.

    Args:
        captioner: Writes them.
        memory: Keeps them: a picture is described once, however often its file is read.
        corpus: The folder of the sources, where a picture that is a file of its own is read.
    """

    def __init__(self, captioner: Captioner, memory: OcrMemory, corpus: Path) -> None:
        self._captioner, self._memory, self._corpus = captioner, memory, corpus

    def add(self, source: Source, reading: Reading) -> Reading:
        """Return the reading with a caption part beside each picture.

        Raises:
            ModelError: The captioner cannot run.
        """
        blobs = {blob.digest: blob.data for blob in reading.blobs}
        wanted = dict.fromkeys(media for block in reading.blocks for media in _pictures(block))
        said, failed = self._described(source, [media for media in wanted if media], blobs)
        if not said and not failed:
            return reading
        identity = self._captioner.identity
        blocks = tuple(_with(block, said, identity) for block in reading.blocks)
        problems = reading.problems
        if failed:
            first = next(iter(failed.values()))
            problems += (f"{len(failed)} of {len(wanted)} pictures could not be described: {first.message}",)
        return replace(reading, blocks=blocks, problems=problems)

    def _described(
        self, source: Source, wanted: Sequence[str], blobs: dict[str, bytes]
    ) -> tuple[dict[str, str], dict[str, SourceError]]:
        said: dict[str, str] = {}
        pictures: dict[str, bytes] = {}
        for media in wanted:
            if (known := self._memory.get(self._key(media), source.id)) is not None:
                said[media] = known.decode()
            elif (data := blobs.get(media) or self._file(source, media)) is not None:
                pictures[media] = data
        failed: dict[str, SourceError] = {}
        if pictures:
            found = self._captioner.describe(list(pictures.values()))
            for media, words in zip(pictures, found, strict=True):
                if not isinstance(words, SourceError) and len(words) > MAX_CHARACTERS:
                    words = TooLarge(
                        f"The description has {len(words)} characters, more than {MAX_CHARACTERS}.",
                        fix="Lower max_new_tokens of the captioner.",
                    )
                if isinstance(words, SourceError):
                    failed[media] = words
                    continue
                said[media] = words
                self._memory.put(self._key(media), words.encode("utf-8", "replace"), source.id)
        return said, failed

    def _key(self, media: str) -> str:
        return digest_json(["caption", self._captioner.identity, media])

    def _file(self, source: Source, media: str) -> bytes | None:
        if media != source.digest:
            return None
        try:
            return (self._corpus / source.id).read_bytes()
        except OSError:
            return None


def _pictures(block: Block) -> list[str]:
    return [part.media for part in block.parts if part.modality == "image" and part.media]


def _with(block: Block, said: dict[str, str], identity: str) -> Block:
    words = [said[media] for media in _pictures(block) if said.get(media)]
    if not words:
        return block
    caption = Part("text", text="\n".join(words), role="caption")
    # Beside the picture, before the words that stand in it: what it shows comes first.
    at = 1 + max(i for i, part in enumerate(block.parts) if part.modality == "image")
    parts = (*block.parts[:at], caption, *block.parts[at:])
    return replace(block, parts=parts, metadata={**block.metadata, DESCRIBED_BY: identity})
