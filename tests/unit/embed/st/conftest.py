"""Folders as sentence-transformers saves them, around tiny models."""

from collections.abc import Callable
from pathlib import Path

import pytest

TURNS = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
"""With a chat template the library takes words with pictures, and a model of words takes pictures, too."""


@pytest.fixture(scope="session")
def saved(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a saved model by the kind of its backbone; do not write into it."""
    root = tmp_path_factory.mktemp("st")

    def folder(kind: str) -> Path:
        path = root / kind
        if not path.is_dir():
            from sentence_transformers import SentenceTransformer
            from sentence_transformers.base.modules import Transformer
            from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

            more = {} if kind in ("bert", "clip") else {"processor_kwargs": {"chat_template": TURNS}}
            transformer = Transformer(str(tiny(kind)), **more)
            modules: list[object] = [transformer]
            if kind != "clip":
                mode = "mean" if kind == "bert" else "lasttoken"
                modules += [Pooling(transformer.get_embedding_dimension(), mode), Normalize()]
            prompts = {"query": "find: ", "document": "", "code": "code: "} if kind == "bert" else None
            SentenceTransformer(modules=modules, device="cpu", prompts=prompts).save_pretrained(str(path))
        return path

    return folder
