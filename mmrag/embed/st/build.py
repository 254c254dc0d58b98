"""Make an embedder of a folder of sentence-transformers, without loading it yet."""

from __future__ import annotations

from mmrag.core.errors import ConfigError
from mmrag.core.identity import digest_json
from mmrag.core.weights import find_model
from mmrag.embed.centre import read_centres
from mmrag.embed.content import Model
from mmrag.embed.local import LocalEmbedder, LocalModel
from mmrag.embed.st.files import Folder, check_code, digest_model, look_into
from mmrag.embed.st.options import SentenceTransformersOptions


def build_embedder(options: SentenceTransformersOptions) -> LocalEmbedder:
    """Return the embedder; how queries are prompted is no part of its identity.

    Raises:
        NotFound: The model is not on this machine.
        ModelError: It is no model of sentence-transformers.
        ConfigError: It runs code that the recipe does not allow, or does not say how long its vectors are.
    """
    folder = look_into(find_model(options.model, options.revision))
    trusted = check_code(folder, options.remote_code)
    dim = options.dim or folder.dim
    if dim is None:
        raise ConfigError(
            "The model's files do not say how long its vectors are.",
            fix="Add the line: dim: ...",
            where="dim",
        )
    if folder.dim is not None and dim > folder.dim:
        raise ConfigError(
            f"The model's vectors have {folder.dim} numbers, not {dim}.",
            fix="Give a smaller dim.",
            where="dim",
        )
    prompts = {**folder.prompts, **options.tasks}

    def load(device: str) -> Model:
        from mmrag.embed.st.model import load_model

        return load_model(options, folder, dim, device=device, trusted=trusted)

    return LocalEmbedder(
        LocalModel(
            identity=_identity(options, folder, dim),
            dim=dim,
            takes=frozenset(options.takes),
            fuses=options.fuses,
            load=load,
            pictures=options.pictures,
            languages=frozenset(options.languages) or None,
            tasks=frozenset(prompts),
            engine=options.engine,
        ),
        read_centres(options.centres, dim),
    )


def _identity(options: SentenceTransformersOptions, folder: Folder, dim: int) -> dict[str, str]:
    prompt = folder.document_prompt if options.document is None else options.document
    seen = [options.pictures, options.max_side] if "image" in options.takes else []
    # Its weights say nothing of the code that runs them.
    code = {} if options.remote_code is None or not folder.needs_code else {"code": options.remote_code}
    return {
        "embedder": "sentence-transformers",
        "revision": digest_model(folder.path),
        "dim": str(dim),
        "dtype": options.dtype,
        "max_tokens": str(options.max_tokens or "model"),
        "document": digest_json([prompt, sorted(options.takes), options.fuses, seen])[:16],
        **code,
    }
