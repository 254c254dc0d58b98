"""The life of an index on the command line: verify, forget, compact, reindex, export and import."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmrag import Pipeline

FILES = {
    "pump.txt": "The impeller of the pump is made of phosphor bronze.",
    "letters/anna.txt": "Anna Quistgaard asks for the zirconium sleeve of her xylophone.",
    "seal.md": "# Seals\n\nThe shaft seal of the pump is made of graphite.",
}


def mmrag(*args: object, code: int = 0) -> str:
    command = [sys.executable, "-W", "error", "-m", "mmrag", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout or done.stderr


def as_json(*args: object, code: int = 0) -> dict:
    return json.loads(mmrag(*args, "--json", code=code))


def stored_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (folder / ".mmrag").rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    as_json("sync", root)
    return root


def test_a_forgotten_file_leaves_no_trace(folder: Path) -> None:
    assert b"Quistgaard" in stored_bytes(folder)
    refused = as_json("forget", folder, "letters/anna.txt", code=2)
    assert "still in the folder" in refused["message"]
    (folder / "letters" / "anna.txt").unlink()
    told = as_json("forget", folder, "letters/anna.txt")
    assert told["clean"]
    assert (told["sources"], told["items"], told["unknown"]) == (1, 1, [])
    kept = stored_bytes(folder)
    for trace in (b"Quistgaard", b"quistgaard", b"xylophone", b"zirconium", b"anna.txt", b"letters"):
        assert trace not in kept
    assert as_json("verify", folder)["problems"] == []
    assert "zirconium" not in mmrag("search", folder, "zirconium sleeve")
    assert "bronze" in mmrag("ask", folder, "What is the impeller of the pump made of?")
    assert "Nothing to do" in mmrag("sync", folder)


def test_a_file_that_a_sync_has_removed_can_still_be_forgotten(folder: Path) -> None:
    (folder / "letters" / "anna.txt").unlink()
    as_json("sync", folder)
    told = as_json("forget", folder, "letters/anna.txt")
    assert (told["unknown"], told["clean"]) == (["letters/anna.txt"], True)
    assert b"Quistgaard" not in stored_bytes(folder)


def test_a_filter_and_an_ignored_file(folder: Path) -> None:
    told = mmrag("forget", folder, "--filter", 'folder == "letters"', "--ignore")
    assert "Proof: none of" in told
    assert (folder / ".mmragignore").read_text() == "/letters/anna.txt\n"
    assert "Nothing to do: 2 files unchanged." in mmrag("sync", folder)
    assert "no source of that name" in mmrag("forget", folder, "letters/anna.txt")
    assert "No source is named" in mmrag("forget", folder, code=2)
    assert "No source is named" in mmrag("forget", folder, "--filter", 'kind == "pdf"', code=2)


def test_a_search_that_is_open_goes_on_after_a_file_was_forgotten(folder: Path) -> None:
    with Pipeline.from_folder(folder, sync="never") as pipeline:
        assert pipeline.search("zirconium")[0].item.source == "letters/anna.txt"
        (folder / "letters" / "anna.txt").unlink()
        assert pipeline.upkeep.forget(["letters/anna.txt"]).clean
        assert "letters/anna.txt" not in {hit.item.source for hit in pipeline.search("zirconium")}


def test_compact_and_reindex_change_no_answer(folder: Path) -> None:
    before = as_json("search", folder, "pump")["hits"]
    root = as_json("status", folder)["root"]
    (folder / "letters" / "anna.txt").unlink()
    as_json("sync", folder)
    report = as_json("compact", folder)
    assert report["bytes_after"] <= report["bytes_before"]
    as_json("reindex", folder)
    assert [hit["item"] for hit in as_json("search", folder, "pump")["hits"]] == [
        hit["item"] for hit in before if hit["source"] != "letters/anna.txt"
    ]
    assert as_json("verify", folder)["root"] == as_json("status", folder)["root"] != root


def test_an_export_brings_the_index_back_without_embedding(folder: Path, tmp_path: Path) -> None:
    told = as_json("export", folder, tmp_path / "out")
    assert (told["sources"], told["items"]) == (3, 3)
    table = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert {row["source"] for row in table} == set(FILES)
    assert "has an index already" in as_json("import", folder, tmp_path / "out", code=2)["message"]
    assert "lies in" in as_json("export", folder, folder / "backup", code=2)["message"]
    other = tmp_path / "other"
    assert as_json("import", folder, tmp_path / "out", "--store", other, "--recipe", "nowhere", code=2)["fix"]
    assert not other.exists()
    hits = as_json("search", folder, "pump")["hits"]
    back = as_json("import", folder, tmp_path / "out", "--store", tmp_path / "store")
    assert back["root"] == told["root"] == as_json("status", folder)["root"]
    synced = as_json("sync", folder, "--store", tmp_path / "store")
    assert (synced["plan"]["unchanged"], synced["embedded"]) == (3, 0)
    assert as_json("search", folder, "pump", "--store", tmp_path / "store")["hits"] == hits
    assert as_json("verify", folder, "--store", tmp_path / "store")["problems"] == []
    assert "holds no export" in mmrag("import", folder, tmp_path, "--store", tmp_path / "other", code=1)
