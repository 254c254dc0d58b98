"""What was embedded once is found again, after a kill too, and never as another one's vector."""

import errno
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import Damaged, IdentityMismatch, OutOfSpace
from mmrag.embed.engine import cache as module
from mmrag.embed.engine.cache import EmbeddingCache

IDENTITY = {"embedder": "fake", "revision": "1"}
VECTORS = np.random.default_rng(0).standard_normal((100, 6)).astype(np.float32)
KEYS = [f"key {i}" for i in range(100)]


def opened(folder: Path) -> EmbeddingCache:
    return EmbeddingCache(folder, IDENTITY, 6)


def filled(folder: Path) -> Path:
    with opened(folder) as cache:
        cache.put(KEYS[:60], VECTORS[:60])
        cache.put(KEYS[60:], VECTORS[60:])
    return folder


def found(cache: EmbeddingCache) -> list[int]:
    got = cache.get(KEYS)
    here = [i for i, vector in enumerate(got) if vector is not None]
    assert all(np.array_equal(got[i], VECTORS[i]) for i in here)
    return here


def test_what_was_put_is_found(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        assert cache.get(KEYS) == [None] * 100
        assert cache.get([]) == []
        cache.put(KEYS, VECTORS)
        assert found(cache) == list(range(100))
        assert cache.get(["another"]) == [None]
        assert len(cache) == 100
    with opened(tmp_path) as cache:
        assert found(cache) == list(range(100))
        assert cache.get(["another"]) == [None]


def test_many_small_puts_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MERGE", 7)
    with opened(tmp_path) as cache:
        for i in range(100):
            cache.put([KEYS[i]], VECTORS[i : i + 1])
        assert found(cache) == list(range(100))
        assert len(cache) == 100
    assert found(opened(tmp_path)) == list(range(100))


@pytest.mark.parametrize("merge", [1, 1000])
def test_the_newest_vector_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merge: int) -> None:
    monkeypatch.setattr(module, "_MERGE", merge)
    for round_ in range(3):
        with opened(tmp_path) as cache:
            cache.put(["a", "b", "a"], VECTORS[round_ * 3 : round_ * 3 + 3])
            assert np.array_equal(cache.get(["a"])[0], VECTORS[round_ * 3 + 2])
    assert np.array_equal(opened(tmp_path).get(["a"])[0], VECTORS[8])
    assert len(opened(tmp_path)) == 2


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as two:
        one.put(KEYS[:50], VECTORS[:50])
        two.put(KEYS[50:], VECTORS[50:])
        assert found(one) == list(range(50))
    assert found(opened(tmp_path)) == list(range(100))


@pytest.mark.parametrize("ending", ["keys", "vectors"])
@pytest.mark.parametrize("lost", [1, 19, 20, 25, 500])
def test_a_torn_tail_is_dropped(tmp_path: Path, ending: str, lost: int) -> None:
    (path,) = filled(tmp_path).glob(f"*.{ending}")
    data = path.read_bytes()
    path.write_bytes(data[:-lost])
    kept = (len(data) - lost) // (20 if ending == "keys" else 24)
    cache = opened(tmp_path)
    assert found(cache) == list(range(kept))
    cache.put(KEYS[kept:], VECTORS[kept:])
    cache.close()
    assert found(opened(tmp_path)) == list(range(100))


@pytest.mark.parametrize("ending", ["keys", "vectors"])
def test_a_damaged_row_is_missing(tmp_path: Path, ending: str) -> None:
    (path,) = filled(tmp_path).glob(f"*.{ending}")
    data = bytearray(path.read_bytes())
    size = 20 if ending == "keys" else 24
    data[40 * size + 5] ^= 1
    data[70 * size : 71 * size] = bytes(size)
    path.write_bytes(data)
    assert found(opened(tmp_path)) == [i for i in range(100) if i not in (40, 70)]


def test_a_missing_file_of_vectors_is_no_harm(tmp_path: Path) -> None:
    (path,) = filled(tmp_path).glob("*.vectors")
    path.unlink()
    assert found(opened(tmp_path)) == []


def test_keys_with_equal_first_halves_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = module._digest
    monkeypatch.setattr(module, "_digest", lambda key: b"12345678" + digest(key)[8:])
    with opened(tmp_path) as cache:
        cache.put(["a"], VECTORS[:1])
    cache = opened(tmp_path)
    assert cache.get(["b"]) == [None]
    assert np.array_equal(cache.get(["a"])[0], VECTORS[0])


def test_another_embedder_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(IdentityMismatch, match="revision: 1 -> 2"):
        EmbeddingCache(tmp_path, {**IDENTITY, "revision": "2"}, 6)
    with pytest.raises(IdentityMismatch, match="dim: 6 -> 7"):
        EmbeddingCache(tmp_path, IDENTITY, 7)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', "\x00\x00"])
def test_a_foreign_folder_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "cache.json").write_text(content)
    with pytest.raises(Damaged):
        opened(tmp_path)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(Damaged):
        opened(tmp_path)


def test_wrong_shapes_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as cache, pytest.raises(ValueError, match="2 keys need"):
        cache.put(["a", "b"], VECTORS[:1])


def test_a_full_disk_keeps_what_was_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = module._write_all
    calls = []

    def full(file, data: bytes) -> None:
        calls.append(len(data))
        if len(calls) == 3:
            write(file, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data)

    monkeypatch.setattr(module, "_write_all", full)
    cache = opened(tmp_path)
    cache.put(KEYS[:10], VECTORS[:10])
    with pytest.raises(OutOfSpace):
        cache.put(KEYS[10:20], VECTORS[10:20])
    assert found(cache) == list(range(10))
    cache.put(KEYS[20:], VECTORS[20:])
    cache.close()
    assert found(opened(tmp_path)) == [*range(10), *range(20, 100)]


def test_a_cache_that_another_process_has_just_made_is_no_foreign_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text, late = Path.read_text, []

    def read(path: Path, **kwargs: str) -> str:
        if path.name == "cache.json" and not late:
            late.append(True)
            try:
                return read_text(path, **kwargs)
            finally:
                # Between the look and what is done about it.
                opened(tmp_path / "cache").close()
        return read_text(path, **kwargs)

    monkeypatch.setattr(Path, "read_text", read)
    assert len(opened(tmp_path / "cache")) == 0
    assert late
