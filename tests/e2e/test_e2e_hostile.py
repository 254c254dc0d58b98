"""Whatever a user or a folder brings: a sentence with its fix, never a traceback or an endless wait."""

import os
import sqlite3
import sys
from contextlib import closing

import pytest
from PIL import Image

from mmrag import Pipeline
from mmrag.cli.main import main
from mmrag.core.errors import ConfigError, MmragError, QueryError

needs_posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX system")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("docs")
    (root / "a.md").write_text("# Pump\n\nThe warranty on the pump is three years.\n")
    with Pipeline.from_folder(root):
        return root


@pytest.fixture
def mmrag(monkeypatch, capsys):
    """The command line inside this process: dozens of calls in a second."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["mmrag", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("sync", "a" * 5000), 2),
        (("sync", "{folder}", "--store", "a" * 300), 1),
        (("sync", "{folder}", "--store", "{folder}"), 2),
        (("sync", "{folder}", "--store", "{folder}/.."), 2),
        (("ask", "{folder}", "pump " * 20_000), 2),
        (("ask", "{folder}", "", "--image", "{folder}"), 2),
        (("ask", "{folder}", "", "--image", "{folder}/a.md"), 2),
        (("ask", "{folder}", "pump", "--evidence", "{folder}/a.md"), 2),
        (("why-not", "{folder}", "pump", "\udcff"), 2),
        (("eval", "{folder}", "--questions", "{folder}"), 2),
    ],
)
def test_a_bad_argument_is_a_sentence_with_its_fix(folder, mmrag, args, code):
    args = [arg.format(folder=folder) for arg in args]
    found, said = mmrag(*args)
    assert (found, "error: " in said.err, "fix: " in said.err) == (code, True, True)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux")
def test_a_store_where_no_folder_can_be_made(folder, mmrag):
    code, said = mmrag("sync", folder, "--store", "/proc/nowhere")
    assert code == 1
    assert "fix: " in said.err


@pytest.mark.parametrize("command", ["search", "ask", "explain"])
def test_a_question_in_another_encoding_is_asked_and_can_be_printed(folder, mmrag, command):
    code, said = mmrag(command, folder, "pump caf\udce9", "--json")
    assert code in (0, 3)
    said.out.encode()


def test_a_huge_k_is_all_there_is(folder):
    with Pipeline.from_folder(folder) as pipeline:
        assert len(pipeline.search("pump", k=10**30)) == 1


@needs_posix
def test_pipes_and_devices_are_not_waited_for(folder, mmrag, tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero"):
        for args in (("ask", folder, "", "--image", path), ("eval", folder, "--questions", path)):
            code, said = mmrag(*args)
            assert code == 2
            assert "not a file" in said.err


@pytest.mark.parametrize("k", [0, -1, "5", 2.5, None])
def test_k_is_a_whole_number(folder, k):
    with Pipeline.from_folder(folder) as pipeline, pytest.raises(QueryError):
        pipeline.search("pump", k=k)


@pytest.mark.parametrize("question", [None, 3, b"pump", [], {}, "", " ", "x" * 20_001])
def test_a_question_is_words(folder, question):
    with Pipeline.from_folder(folder) as pipeline:
        for door in (pipeline.ask, pipeline.search, pipeline.explain):
            with pytest.raises(QueryError):
                door(question)


@pytest.mark.parametrize(
    "options",
    [
        *({"filter": 3}, {"filter": b'kind == "pdf"'}),
        *({"image": "a\0b"}, {"image": ""}, {"image": 3}, {"image": [3]}),
    ],
)
def test_filter_and_image_of_wrong_types(folder, options):
    with Pipeline.from_folder(folder) as pipeline, pytest.raises(QueryError):
        pipeline.ask("pump", **options)


@pytest.mark.parametrize("source", [None, 3, "", "\ud800"])
def test_an_expected_source_is_a_name(folder, source):
    with Pipeline.from_folder(folder) as pipeline, pytest.raises(QueryError):
        pipeline.why_not("pump", source)


@pytest.mark.parametrize(
    "options",
    [
        *({"folder": None}, {"folder": 3}, {"folder": ""}, {"folder": "a\0"}),
        *({"store": 3}, {"store": ""}, {"store": "a\0"}, {"sync": "sometimes"}, {"sync": None}),
        *({"model": 3}, {"model": ""}, {"recipe": 3}, {"recipe": ""}, {"recipe": "a\0.yaml"}),
    ],
)
def test_options_of_wrong_types(folder, options):
    with pytest.raises(ConfigError):
        Pipeline.from_folder(**{"folder": folder, **options})


@pytest.mark.parametrize("place", [None, 3, "", "a\0"])
def test_evidence_needs_a_folder(folder, place):
    with Pipeline.from_folder(folder) as pipeline:
        answer = pipeline.ask("How long is the warranty on the pump?")
        with pytest.raises(MmragError):
            pipeline.write_evidence(answer, place)


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 2), (16, 2401), (2500, 17)])
def test_a_picture_as_thin_as_a_thread_is_indexed_by_its_name(tmp_path, size):
    pytest.importorskip("rapidocr")
    Image.new("L", size, 255).save(tmp_path / "thread.png")
    with Pipeline.from_folder(tmp_path) as pipeline:
        assert [record.state for record in pipeline.sources()] == ["indexed"]


def test_a_failed_file_says_what_to_do(tmp_path):
    (tmp_path / "loop.pdf").write_bytes(
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[2 0 R]/Count 5>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    )
    with Pipeline.from_folder(tmp_path) as pipeline:
        (record,) = pipeline.sources()
    assert record.state == "failed"
    assert record.reason
    assert record.fix


@pytest.mark.parametrize("recipe", ["default", "faiss-flat"])
def test_a_damaged_derived_index_is_built_again(tmp_path, recipe):
    if recipe == "faiss-flat":
        pytest.importorskip("faiss")
    (tmp_path / "a.md").write_text("# Pump\n\nThe warranty on the pump is three years.\n")
    with Pipeline.from_folder(tmp_path, recipe=recipe):
        pass
    for file in tmp_path.glob(".mmrag/derived/*/*/files/*"):
        file.write_bytes(bytes(byte ^ 0x5A for byte in file.read_bytes()))
    for sync in ("never", "always", "never"):
        with Pipeline.from_folder(tmp_path, recipe=recipe, sync=sync) as pipeline:
            assert pipeline.ask("How long is the warranty on the pump?").status == "answered"
    assert not any(_is_flipped(file) for file in tmp_path.glob(".mmrag/derived/*/*/files/index.json"))


def _is_flipped(file):
    return file.read_bytes()[:1] == bytes([ord("{") ^ 0x5A])


@pytest.mark.parametrize(
    ("name", "content"), [("*/current", b"\xff\0"), ("*/*/stamp.json", b"[]"), ("*/*/stamp.json", b"{}")]
)
def test_a_derived_index_with_a_torn_label_is_built_again(tmp_path, name, content):
    (tmp_path / "a.md").write_text("# Pump\n\nThe warranty on the pump is three years.\n")
    with Pipeline.from_folder(tmp_path):
        pass
    for file in tmp_path.glob(f".mmrag/derived/{name}"):
        file.write_bytes(content)
    for sync in ("never", "always", "never"):
        with Pipeline.from_folder(tmp_path, sync=sync) as pipeline:
            assert pipeline.ask("How long is the warranty on the pump?").status == "answered"
            assert pipeline.upkeep.verify().problems == () or sync == "never"


def test_a_folder_that_goes_away_is_no_traceback(tmp_path, mmrag, monkeypatch):
    def gone(*_, **__):
        raise FileNotFoundError(2, "No such file or directory", "gone")

    monkeypatch.setattr(Pipeline, "sync", gone)
    code, said = mmrag("sync", tmp_path)
    assert code == 1
    assert "gone" in said.err
    assert "fix: " in said.err


@pytest.mark.parametrize(
    "damage",
    ["UPDATE bodies SET body = x'ff00'", "UPDATE sources SET pages = '{'", "UPDATE meta SET value = 'x'"],
)
def test_a_catalog_of_garbage_is_refused_with_the_command(tmp_path, mmrag, damage):
    (tmp_path / "a.md").write_text("# Pump\n\nThe warranty on the pump is three years.\n")
    with Pipeline.from_folder(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / ".mmrag" / "catalog.db")) as db, db:
        db.execute(damage)
    codes, said = zip(*[mmrag("ask", tmp_path, "warranty?"), mmrag("status", tmp_path)], strict=True)
    assert 1 in codes
    assert "--rebuild" in said[codes.index(1)].err
    assert mmrag("sync", tmp_path, "--rebuild")[0] == 0
