"""What document vectors depend on, of all that a recipe says of adapters; nothing is loaded for it."""

from __future__ import annotations

from mmrag.core.identity import digest_json
from mmrag.core.types import Modality
from mmrag.embed.adapters.files import open_adapter
from mmrag.embed.adapters.options import AdapterOptions
from mmrag.embed.adapters.rules import choose_adapter
from mmrag.embed.adapters.store import find_adapter

_DOCUMENTS: tuple[tuple[Modality, ...], ...] = (("text",), ("image",), ("image", "text"))


def adapters_identity(options: AdapterOptions, *, task: str | None = None) -> str:
    """Return a digest of the adapters that documents go through: 'none' where they take none.

    An adapter that only queries take is left out: it may be added, trained further or removed, and no
    document needs a new vector. The names of adapters are left out as well.

    Args:
        options: What the recipe says.
        task: The task of documents, which is the recipe's own.

    Raises:
        NotFound: An adapter that documents take is not on this machine.
        ModelError: Its files cannot be read.
    """
    chosen = {kinds: choose_adapter(options, "document", task, kinds) for kinds in _DOCUMENTS}
    taken = {name for name in chosen.values() if name is not None}
    if not options.merge and not taken:
        return "none"
    digests = {name: _digest(options, options.load[name]) for name in sorted(taken)}
    return digest_json(
        {
            "merge": [_digest(options, source) for source in options.merge],
            "chosen": {"+".join(kinds): name and digests[name] for kinds, name in chosen.items()},
            "leave_out": sorted(options.leave_out),
        }
    )[:32]


def _digest(options: AdapterOptions, source: str) -> str:
    return open_adapter(find_adapter(source, options.store)).digest
