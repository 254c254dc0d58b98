"""A folder of adapters: each with its files, what it is for, and what it was checked with."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from mmrag.core.errors import (
    AdapterMismatch,
    ConfigError,
    Damaged,
    ModelError,
    NotFound,
    UnknownName,
    did_you_mean,
)
from mmrag.core.identity import digest_file
from mmrag.core.weights import download_command, find_model, fingerprint, read_config
from mmrag.embed.adapters.files import (
    CONFIG,
    MANIFEST,
    WEIGHTS,
    Adapter,
    copy_tensors,
    kept,
    open_adapter,
    read_header,
)
from mmrag.embed.adapters.fit import misfits

DEFAULT_STORE = "adapters"
"""Where adapters are added and looked for, relative to where mmrag runs, unless somebody says otherwise."""

ADAPTER_HINT = "the folder that peft wrote"
"""For who names an adapter that is not there."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a store says of an adapter.

    Args:
        name: Its name, also of its folder.
        kind: What peft knows it by, such as LORA.
        task: What it was trained for, in the words of the one who added it.
        query: The instruction for queries that it was trained with.
        document: The same for documents.
        base: The name of its base model, from its own settings.
        base_digest: The fingerprint of the checkpoint that it was checked with; empty for none yet.
        rank: The rank of its matrices, where its kind has one.
        targets: The modules that it changes: names, or one regular expression.
        digest: What vectors depend on: settings and weights.
        files: The digest of each file.
        added: The date, as the caller gave it.
    """

    name: str
    kind: str
    task: str = ""
    query: str = ""
    document: str = ""
    base: str = ""
    base_digest: str = ""
    rank: int | None = None
    targets: tuple[str, ...] = ()
    digest: str = ""
    files: dict[str, str] | None = None
    added: str = ""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What an adapter is for, in the words of the one who adds it; the fields are those of `Manifest`."""

    task: str = ""
    query: str = ""
    document: str = ""
    added: str = ""


class AdapterStore:
    """Adapters under one folder.

    A folder appears under its name when it is whole: a stopped `add` leaves nothing that `list` shows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def add(
        self,
        name: str,
        source: Path,
        *,
        purpose: Purpose = Purpose(),
        base: Path | None = None,
        leave_out: Sequence[str] = (),
    ) -> Manifest:
        """Check an adapter and copy it.

        Args:
            name: What recipes call it.
            source: A folder that peft wrote.
            purpose: What it is for.
            base: Its base model; shapes are compared, and other base models are refused later.
            leave_out: Regular expressions; tensors in whose name one is found are not copied.

        Raises:
            ConfigError: The name is taken, or is none for a folder.
            NotFound: A file is missing.
            ModelError: A file cannot be read.
            AdapterMismatch: The tensors do not fit the settings or the base.
        """
        target = self._place(name)
        if target.exists():
            raise ConfigError(
                f"The store has an adapter {name!r}.",
                fix=f"Run: mmrag adapter remove {name}, or take another name.",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        # The dot hides an unfinished copy from `list`.
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=self.folder) as aside:
            copy = Path(aside) / name
            copy.mkdir()
            _copy(source, copy, leave_out)
            adapter = open_adapter(copy)
            _fit(adapter, base)
            manifest = _describe(name, adapter, purpose, base)
            _write(copy / MANIFEST, manifest)
            copy.rename(target)
        return manifest

    def list(self) -> list[Manifest]:
        """Return all, by name."""
        if not self.folder.is_dir():
            return []
        found = (path.parent.name for path in self.folder.glob(f"*/{MANIFEST}"))
        return [self.get(name) for name in sorted(found) if _NAME.fullmatch(name)]

    def has(self, name: str) -> bool:
        """Whether there is an adapter of that name."""
        return bool(_NAME.fullmatch(name)) and (self.folder / name / MANIFEST).is_file()

    def get(self, name: str) -> Manifest:
        """Return what the store says of one.

        Raises:
            UnknownName: There is none.
            Damaged: Its manifest cannot be read.
        """
        folder = self.path(name)
        known = {field.name for field in fields(Manifest)}
        try:
            raw = read_config(folder, MANIFEST)
            manifest = Manifest(**{key: value for key, value in raw.items() if key in known})
            return replace(manifest, targets=tuple(manifest.targets))
        except (ModelError, TypeError) as error:
            raise Damaged(
                f"The manifest of {name!r} cannot be read.", fix="Remove and add the adapter again."
            ) from error

    def path(self, name: str) -> Path:
        """Return the folder of one.

        Raises:
            UnknownName: There is none.
        """
        if not self.has(name):
            names = [path.parent.name for path in self.folder.glob(f"*/{MANIFEST}")]
            raise UnknownName(f"{self.folder} has no adapter {name!r}.", fix=did_you_mean(name, names))
        return self.folder / name

    def check(self, name: str, *, base: Path | None = None, accept: bool = False) -> Manifest:
        """Compare files with their digests, tensors with the settings, and shapes with the base.

        Args:
            name: Which.
            base: Its base model.
            accept: Remember this base as the right one.

        Raises:
            Damaged: A file is missing or was changed.
            AdapterMismatch: The tensors do not fit, or the base is another one than before.
        """
        manifest, folder = self.get(name), self.path(name)
        for file, digest in (manifest.files or {}).items():
            path = folder / file
            if not path.is_file() or digest_file(path) != digest:
                raise Damaged(f"{path} is not what was added.", fix="Remove and add the adapter again.")
        adapter = open_adapter(folder)
        _fit(adapter, base)
        if base is None:
            return manifest
        found = fingerprint(base)
        if not accept:
            adapter.check_base(found)
        if found != manifest.base_digest:
            manifest = replace(manifest, base_digest=found)
            _write(folder / MANIFEST, manifest)
        return manifest

    def remove(self, name: str) -> None:
        """Delete one.

        Raises:
            UnknownName: There is none.
        """
        folder = self.path(name)
        # One rename takes it out of `list`, whatever happens to the files after it.
        with tempfile.TemporaryDirectory(prefix=".removing-", dir=self.folder) as gone:
            folder.rename(Path(gone) / name)

    def _place(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name for an adapter.",
                fix="Take up to 64 letters, digits, dots, dashes and underscores; a letter or digit first.",
            )
        return self.folder / name


def find_adapter(source: str, store: str | None = None) -> Path:
    """Return the folder of an adapter: a name in the store, a path, or a hub id among what was downloaded.

    Args:
        source: The name, path or hub id.
        store: The folder of the store; None for the one that `mmrag adapter add` fills.

    Raises:
        NotFound: It is none of them.
    """
    kept_here = AdapterStore(Path(DEFAULT_STORE if store is None else store))
    if kept_here.has(source):
        return kept_here.path(source)
    try:
        return find_model(source, hint=ADAPTER_HINT)
    except NotFound as error:
        if source.startswith((".", "/", "~")) or source.count("/") > 1:
            raise
        if "/" in source:
            fix = f"Run: {download_command(source)}"
        else:
            there = "" if store is None else f" --store {shlex.quote(store)}"
            fix = f"Run, with the folder that peft wrote: mmrag adapter add FOLDER --name {source}{there}"
        raise NotFound(
            f"The adapter {source!r} is not on this machine and not in the adapter store {kept_here.folder}.",
            fix=fix,
        ) from error


def _copy(source: Path, target: Path, leave_out: Sequence[str]) -> None:
    adapter = open_adapter(source)
    shutil.copyfile(source / CONFIG, target / CONFIG)
    if not leave_out:
        shutil.copyfile(source / WEIGHTS, target / WEIGHTS)
        return
    names = kept(read_header(adapter.folder / WEIGHTS), leave_out)
    copy_tensors(source / WEIGHTS, target / WEIGHTS, {name: name for name in names})


def _fit(adapter: Adapter, base: Path | None) -> None:
    wrong = misfits(adapter, base)
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise AdapterMismatch(
            f"The adapter does not fit: {'; '.join(wrong[:3])}{more}.",
            fix="Give the base model that it was trained on, or get the adapter again.",
            where=str(adapter.folder),
        )


def _describe(name: str, adapter: Adapter, purpose: Purpose, base: Path | None) -> Manifest:
    return Manifest(
        name=name,
        kind=adapter.kind,
        **asdict(purpose),
        base=str(adapter.config.get("base_model_name_or_path") or ""),
        base_digest=fingerprint(base) if base is not None else "",
        rank=adapter.rank,
        targets=adapter.targets,
        digest=adapter.digest,
        files={file: digest_file(adapter.folder / file) for file in (CONFIG, WEIGHTS)},
    )


def _write(path: Path, manifest: Manifest) -> None:
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)
