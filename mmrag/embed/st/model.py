"""Run a model of sentence-transformers batch by batch."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmrag.core.checkpoint import check_tokenizer, loading
from mmrag.core.errors import ModelError, UnsupportedModality
from mmrag.core.lazy import require
from mmrag.core.memory import memory_errors
from mmrag.embed.content import Content, Picture, Prepared, Role
from mmrag.embed.inputs import check_task
from mmrag.embed.st.files import Folder
from mmrag.embed.st.options import SentenceTransformersOptions
from mmrag.media.pictures import open_picture, upright

if TYPE_CHECKING:
    from PIL.Image import Image

_FEATURE = "A model of sentence-transformers"
_MAX_PIXELS = 170_000_000
_PIXELS_A_TOKEN = 28 * 28
"""A guess for batch budgets; the model's own count is known only inside sentence-transformers."""

Kind = Literal["text", "image", "fused"]


@dataclass(frozen=True, slots=True)
class Wrapped:
    """An input as sentence-transformers takes it, with what it may share a call with.

    Words are wrapped as `{"text": ...}`: a bare string that looks like an address or a path would be opened.
    """

    role: Role
    prompt: str
    kind: Kind
    value: dict[str, Any]


class SentenceTransformersModel:
    """A loaded model on one device: what the engine drives."""

    def __init__(self, loaded: Any, options: SentenceTransformersOptions, folder: Folder, dim: int) -> None:
        self.dim = dim
        self._loaded = loaded
        self._options = options
        self._folder = folder
        self._prompts = {**folder.prompts, **options.tasks}
        self._max_tokens: int | None = loaded.get_max_seq_length()
        self._counter = _own_tokenizer(loaded.tokenizer)
        self._running = threading.Lock()
        takes = set(options.takes)
        # Asked once: a model of words accepts a picture in a mixed batch, and embeds nothing of it.
        self._can: dict[Kind, bool] = {
            "text": "text" in takes and bool(loaded.supports("text")),
            "image": "image" in takes and bool(loaded.supports("image")),
            "fused": options.fuses and bool(loaded.supports(("image", "text"))),
        }

    def prepare(self, content: Content) -> Prepared:
        """Open the pictures and wrap the words.

        Raises:
            SourceError: A picture cannot be opened.
            UnsupportedModality: The model does not take these parts together.
            QueryError: The recipe has no such task.
        """
        words = " ".join(part for part in content.parts if isinstance(part, str))
        pictures = [part for part in content.parts if isinstance(part, Picture)]
        kind: Kind = "text" if not pictures else "fused" if words.strip() else "image"
        if not self._can[kind] or len(pictures) > 1:
            what = {"text": "words", "image": "pictures", "fused": "words with pictures"}[kind]
            more = "several pictures" if len(pictures) > 1 else what
            raise UnsupportedModality(
                f"The model {self._options.model} does not embed {more}.",
                fix="Ask otherwise, or use a recipe whose embedder does: mmrag recipe list",
            )
        prompt = self._prompt(content)
        opened = [self._open(picture) for picture in pictures]
        value: dict[str, Any] = {"image": opened[0]} if opened else {}
        if kind != "image":
            value["text"] = words
        (tokens,) = self.count_tokens([words]) if kind != "image" else (0,)
        notes: tuple[str, ...] = ()
        if self._max_tokens is not None and kind == "text" and tokens > self._max_tokens:
            notes = (f"Of {tokens} tokens about the first {self._max_tokens} were embedded.",)
            tokens = self._max_tokens
        pixels = sum(picture.width * picture.height for picture in opened)
        return Prepared(
            max(1, tokens), -(-pixels // _PIXELS_A_TOKEN), Wrapped(content.role, prompt, kind, value), notes
        )

    def run(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch, one call for all inputs of the same role, prompt and kind.

        Shapes:
            -> float32 [len(batch), dim], unit vectors

        Raises:
            OutOfMemory: The device has too little memory for this batch.
        """
        groups: dict[tuple[Role, str, Kind], list[int]] = {}
        for i, one in enumerate(batch):
            wrapped: Wrapped = one.data
            groups.setdefault((wrapped.role, wrapped.prompt, wrapped.kind), []).append(i)
        vectors = np.empty((len(batch), self.dim), np.float32)
        with self._running:
            for (role, prompt, _), places in groups.items():
                vectors[places] = self._encode(role, prompt, [batch[i].data.value for i in places])
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text takes, without its prompt."""
        if hasattr(self._counter, "encode_batch"):
            found = self._counter.encode_batch(list(texts), add_special_tokens=False)
            return [len(encoding.ids) for encoding in found]
        return [len(self._counter.encode(text, add_special_tokens=False, verbose=False)) for text in texts]

    def _encode(self, role: Role, prompt: str, values: list[dict[str, Any]]) -> NDArray[np.float32]:
        encode = self._loaded.encode_query if role == "query" else self._loaded.encode_document
        with memory_errors(
            len(values), "input", fix="Lower engine.batch_tokens, or max_side, in the recipe."
        ):
            found = encode(
                values,
                prompt=prompt,
                batch_size=len(values),
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=False,
            )
        vectors = np.asarray(found, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] < self.dim:
            raise ModelError(
                f"The model gives vectors of shape {vectors.shape}, not of {self.dim} numbers.",
                fix="Correct `dim` in the recipe.",
            )
        if vectors.shape[1] > self.dim and self._options.dim is None:
            raise ModelError(
                f"The model gives {vectors.shape[1]} numbers, and its files say {self.dim}.",
                fix=f"Add the line: dim: {vectors.shape[1]}",
            )
        # The library cuts behind its own normalisation: what it returns then has no length of one.
        cut = vectors[:, : self.dim]
        lengths = np.linalg.norm(cut, axis=1, keepdims=True)
        if not bool(np.isfinite(lengths).all()) or not bool((lengths > 0).all()):
            raise ModelError("The model gives vectors without finite numbers.", fix="Try dtype: float32.")
        unit: NDArray[np.float32] = cut / lengths
        return unit

    def _prompt(self, content: Content) -> str:
        options = self._options
        if content.role == "document":
            return self._folder.document_prompt if options.document is None else options.document
        if content.instruction is not None:
            return options.query_instruction.replace("{instruction}", content.instruction)
        if content.task is not None:
            check_task(content.task, self._prompts)
            return self._prompts[content.task]
        return self._folder.query_prompt if options.query is None else options.query

    def _open(self, picture: Picture) -> Image:
        side = self._options.max_side
        shown = upright(open_picture(picture.open(), max_pixels=_MAX_PIXELS), near=side)
        factor = side / max(shown.size)
        if factor >= 1:
            return shown
        width, height = (max(1, int(length * factor)) for length in shown.size)
        return shown.resize((width, height), resample=3)  # 3 is Pillow's BICUBIC


def _own_tokenizer(tokenizer: Any) -> Any:
    """Return a copy that cuts and pads nothing, for counting in any thread.

    The library switches cutting and padding of its own on for each batch, and every other call switches them
    off: a batch that is written at that moment is neither cut nor padded.
    """
    own = copy.deepcopy(getattr(tokenizer, "backend_tokenizer", tokenizer))
    if hasattr(own, "no_truncation"):
        own.no_truncation()
        own.no_padding()
    return own


def load_model(
    options: SentenceTransformersOptions, folder: Folder, dim: int, *, device: str, trusted: bool
) -> SentenceTransformersModel:
    """Load a model onto a device.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        ModelError: It cannot be loaded, or does not take what the recipe says.
    """
    torch = require("torch", extra="local", feature=_FEATURE)
    library = require("sentence_transformers", extra="local", feature=_FEATURE)
    dtype = options.dtype
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    for module in folder.transformers if "text" in options.takes else ():
        check_tokenizer(module)
    with loading(folder.path, fix="Download it again, whole."):
        loaded = library.SentenceTransformer(
            str(folder.path),
            device=device,
            trust_remote_code=trusted,
            local_files_only=True,
            model_kwargs={"dtype": getattr(torch, dtype)},
        )
    if options.max_tokens is not None:
        loaded.max_seq_length = options.max_tokens
    for modality in options.takes:
        if not loaded.supports(modality):
            raise ModelError(
                f"The model {options.model} takes {', '.join(map(str, loaded.modalities))}, not {modality}.",
                fix=f"Remove {modality} from `takes` in the recipe.",
            )
    if options.fuses and not loaded.supports(("image", "text")):
        raise ModelError(
            f"The model {options.model} makes no one vector of words and a picture.",
            fix="Write fuses: false.",
        )
    return SentenceTransformersModel(loaded, options, folder, dim)
