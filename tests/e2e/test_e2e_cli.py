"""The command line from an empty folder to a cited answer, and every user's mistake on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FILES = {
    "manual.md": "# Pump manual\n\n## Care\n\nClean the impeller of the pump every six months with warm"
    " water.\n\n## Warranty\n\nThe warranty on the pump is three years from the date of purchase.\n",
    "notes/memo.txt": "The pump in the cellar was installed on 4 May 2024 by Ann Weaver.\n",
    "page.html": "<html><head><title>Spare parts</title></head><body><h2 id='seals'>Seals</h2>"
    "<p>A shaft seal costs 14 euro and is delivered within two days.</p></body></html>",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("docs")
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


def mmrag(*args, code=0, cwd=None):
    command = [sys.executable, "-W", "error", "-m", "mmrag", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def as_json(*args, code=0):
    document = json.loads(mmrag(*args, "--json", code=code).stdout)
    assert document["schema"] == 1
    return document


def test_from_an_empty_folder_to_a_cited_answer(folder, tmp_path):
    synced = as_json("sync", folder)
    assert synced["states"] == {"indexed": 3, "partial": 0, "skipped": 0, "failed": 0}
    assert synced["plan"]["added"] == 3
    assert "Nothing to do: 3 files unchanged." in mmrag("sync", folder).stdout

    answer = as_json("ask", folder, "How long is the warranty on the pump?", "--evidence", tmp_path / "out")
    assert answer["status"] == "answered"
    assert "three years" in answer["text"]
    citation = answer["citations"][0]
    assert citation["source"] == "manual.md"
    start, end = citation["locator"]["span"]
    assert "three years" in FILES["manual.md"][start:end]
    assert Path(answer["files"][0]).name == "index.html"
    page = Path(answer["files"][0]).read_text()
    assert "three years" in page
    assert answer["root"] == as_json("status", folder)["root"]

    hits = as_json("search", folder, "shaft seal price", "-k", 2)["hits"]
    assert hits[0]["source"] == "page.html"
    assert hits[0]["label"] == "page.html#seals"
    assert len(hits) == 2
    for hit in hits:
        assert set(hit["ranks"]) <= {"lexical", "dense"}


def test_nothing_reaches_for_the_network(tmp_path):
    for name in ("manual.md", "page.html"):
        (tmp_path / name).write_text(FILES[name] + '<img src="https://example.invalid/a.png">')
    code = (
        "import sys\n"
        "def refuse(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname'):\n"
        "        raise SystemExit(f'network: {event} {args}')\n"
        "sys.addaudithook(refuse)\n"
        "from mmrag.cli.main import main\n"
        "main()"
    )
    question = "How long is the warranty on the pump?"
    command = [sys.executable, "-c", code, "ask", str(tmp_path), question]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "network:" not in done.stderr
    assert (done.returncode, "three years" in done.stdout) == (0, True), done.stderr


def test_ask_syncs_a_folder_that_was_never_synced(tmp_path):
    (tmp_path / "a.txt").write_text("The gate code of the depot is 4711.")
    assert "4711" in mmrag("ask", tmp_path, "What is the gate code of the depot?").stdout
    assert (tmp_path / ".mmrag").is_dir()


def test_looking_at_a_folder_without_an_index_makes_none(tmp_path):
    for command in ("status", "verify"):
        told = mmrag(command, tmp_path, code=2).stderr
        assert f"mmrag sync {tmp_path}" in told
    assert not (tmp_path / ".mmrag").exists()


def test_a_dry_run_writes_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("The gate code of the depot is 4711.")
    assert as_json("sync", tmp_path, "--dry-run")["changes"] == {"added": ["a.txt"]}
    assert not (tmp_path / ".mmrag").exists()
    as_json("sync", tmp_path)
    assert as_json("sync", tmp_path, "--dry-run", "--rebuild")["changes"] == {"added": ["a.txt"]}
    assert as_json("status", tmp_path)["items"] == 1


def test_new_files_are_told_before_a_question_is_given_up(tmp_path):
    (tmp_path / "a.txt").write_text("The gate code of the depot is 4711.")
    as_json("sync", tmp_path)
    (tmp_path / "b.txt").write_text("The plumber is called Otto Quist.")
    told = mmrag("ask", tmp_path, "Who is the plumber?", code=3).stdout
    assert "There is 1 new file since the last sync: b.txt." in told
    assert "1 new file" in mmrag("status", tmp_path).stdout
    refused = as_json("ask", tmp_path, "What is the gate code?", "--evidence", tmp_path / "out", code=2)
    assert "lies in" in refused["message"]


def test_no_evidence_is_an_exit_code_not_an_error(folder):
    answer = as_json("ask", folder, "Who won the chess world cup in 1987?", code=3)
    assert answer["status"] == "no_evidence"
    assert answer["text"] == ""
    assert answer["notes"]


def test_filters_narrow_search_and_ask(folder):
    hits = as_json("search", folder, "pump", "--filter", 'folder == "notes"')["hits"]
    assert {hit["source"] for hit in hits} == {"notes/memo.txt"}
    asked = as_json("ask", folder, "How long is the warranty?", "--filter", 'kind == "html"', code=3)
    assert asked["status"] == "no_evidence"


def test_explain_and_why_not(folder):
    shown = as_json("explain", folder, "impeller")
    assert [lane["name"] for lane in shown["lanes"]] == ["lexical", "dense", "pictures"]
    assert shown["hits"][0]["ranks"]["lexical"] == 1
    assert "lexical" in mmrag("explain", folder, "impeller").stdout
    lost = as_json("why-not", folder, "shaft seal", "memo.txt", "-k", 1)
    assert lost["outcome"] in ("cut", "no_match")
    assert lost["sentences"][0].startswith("notes/memo.txt ")
    filtered = as_json("why-not", folder, "pump", "page.html", "--filter", 'kind == "text"')
    assert filtered["outcome"] == "filtered"


def test_the_folder_changes(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    as_json("sync", tmp_path)
    (tmp_path / "page.html").rename(tmp_path / "parts.html")
    (tmp_path / "manual.md").unlink()
    (tmp_path / "notes" / "memo.txt").write_text("The boiler was removed.")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no PDF")
    planned = as_json("sync", tmp_path, "--dry-run")["plan"]
    assert (planned["moved"], planned["removed"], planned["changed"], planned["added"]) == (1, 1, 1, 1)
    done = as_json("sync", tmp_path, code=4)
    assert done["plan"] == planned
    trouble = done["troubles"][0]
    assert (trouble["source"], trouble["state"]) == ("broken.pdf", "failed")
    assert trouble["reason"]
    assert trouble["fix"]
    assert "broken.pdf" in mmrag("status", tmp_path, code=4).stdout
    sources = {hit["source"] for hit in as_json("search", tmp_path, "pump seal boiler")["hits"]}
    assert sources == {"parts.html", "notes/memo.txt"}
    assert as_json("verify", tmp_path)["problems"] == []


def test_what_is_not_as_the_folder_is_now_is_said(tmp_path):
    (tmp_path / "a.txt").write_text("The gate code of the depot is 4711.")
    (tmp_path / "b.txt").write_text("The alarm code of the shed is 1234.")
    as_json("sync", tmp_path)
    assert as_json("status", tmp_path)["notes"] == []
    (tmp_path / "a.txt").write_text("The gate code of the depot is now 0815.")
    (tmp_path / "b.txt").unlink()
    (note,) = as_json("ask", tmp_path, "What is the gate code of the depot?")["notes"]
    assert note == f"a.txt was written to after it was indexed. Run: mmrag sync {tmp_path}"
    (note,) = as_json("search", tmp_path, "alarm shed", "-k", 1)["notes"]
    assert note.startswith("b.txt is no longer there")
    assert len(as_json("status", tmp_path)["notes"]) == 2
    as_json("sync", tmp_path)
    assert as_json("status", tmp_path)["notes"] == []


def test_a_dry_run_names_the_files_and_does_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("One.")
    as_json("sync", tmp_path)
    (tmp_path / "a.txt").rename(tmp_path / "c.txt")
    (tmp_path / "b.txt").write_text("Two.")
    planned = as_json("sync", tmp_path, "--dry-run")
    assert planned["changes"] == {"added": ["b.txt"], "moved": ["a.txt -> c.txt"]}
    assert "added: b.txt" in mmrag("sync", tmp_path, "--dry-run").stdout
    assert [s["source"] for s in as_json("status", tmp_path)["sources"]] == ["a.txt"]


def test_an_index_that_was_stopped_half_way_says_so(tmp_path):
    # Some ten seconds' work; the first of it is committed after two.
    count = 1500
    for number in range(count):
        (tmp_path / f"{number}.txt").write_text(f"Shelf {number} holds part {number * 7}. " * 20)
    command = [sys.executable, "-m", "mmrag", "sync", str(tmp_path)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    catalog = tmp_path / ".mmrag" / "catalog.db"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.2)
        if catalog.exists() and as_json("status", tmp_path)["items"]:
            break
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    assert "the next sync goes on from there" in said
    status = as_json("status", tmp_path)
    assert 0 < status["items"] < count
    assert status["notes"][-1].startswith("Not all files are indexed yet")
    note = as_json("search", tmp_path, "shelf 7")["notes"][-1]
    assert note.startswith("Not all files are indexed yet")
    done = as_json("sync", tmp_path)
    assert done["plan"]["added"] == count - status["states"]["indexed"]
    assert as_json("status", tmp_path)["notes"] == []


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        (("ask", "{folder}/nowhere", "x"), "ConfigError", "There is no folder"),
        (("ask", "{folder}", "  "), "QueryError", "empty"),
        (("search", "{folder}", "x", "--filter", "kind = 'pdf'"), "BadFilter", ""),
        (("search", "{folder}", "x", "--filter", 'knd == "pdf"'), "UnknownField", ""),
        (("search", "{folder}", "x", "--filter", 'page == "three"'), "BadFilter", ""),
        (("ask", "{folder}", "x", "--recipe", "defualt"), "UnknownName", ""),
        (("why-not", "{folder}", "x", "manuel.md"), "QueryError", "never seen"),
        (("eval", "{folder}", "--questions", "{folder}/none.jsonl"), "ConfigError", ""),
        (("ask", "{folder}", "x", "--image", "{folder}/none.png"), "QueryError", "cannot be opened"),
        (("recipe", "show", "nothing"), "UnknownName", ""),
    ],
)
def test_a_mistake_is_a_sentence_with_its_fix(folder, args, error, says):
    args = [arg.format(folder=folder) for arg in args]
    document = as_json(*args, code=2)
    assert document["error"] == error
    assert says in document["message"]
    assert document["fix"]
    told = mmrag(*args, code=2).stderr
    assert told.startswith("error: ")
    assert "fix: " in told


def test_a_mistyped_word_gets_a_suggestion(folder):
    assert "'kind'" in mmrag("search", folder, "x", "--filter", 'knd == "pdf"', code=2).stderr
    assert "'default'" in mmrag("ask", folder, "x", "--recipe", "defualt", code=2).stderr
    assert "'manual.md'" in mmrag("why-not", folder, "x", "manuel.md", code=2).stderr


def test_usage_errors_do_not_print_a_traceback():
    assert "Usage" in mmrag("ask", code=2).stderr
    assert "empty" in mmrag("sync", "", code=2).stderr
    assert "No such command" in mmrag("nothing", code=2).stderr


def test_recipe_commands(tmp_path):
    names = {row["name"] for row in as_json("recipe", "list")["recipes"]}
    assert {"default", "rrf", "faiss-flat"} <= names
    assert "type: extractive" in mmrag("recipe", "show", "default").stdout
    assert "type: extractive" in as_json("recipe", "show", "default")["yaml"]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("recipe: 1\nextends: default\nsearch:\n  depht: 5\n")
    told = mmrag("recipe", "check", wrong, code=2).stderr
    assert "wrong.yaml:4" in told
    assert "depth" in told
    assert mmrag("recipe", "check").stdout.count("ok:") >= len(names)


def test_doctor_finds_the_embedder():
    findings = {finding["name"]: finding["verdict"] for finding in as_json("doctor")["findings"]}
    assert findings["recipe default: embedder"] == "ok"


def test_output_into_a_closed_pipe_is_no_error(folder):
    command = f"{sys.executable} -m mmrag search {folder} pump | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_other_recipe_over_the_same_store(folder):
    for recipe in ("rrf", "faiss-flat", "faiss-ivf-pq"):
        hits = as_json("search", folder, "impeller", "--recipe", recipe)["hits"]
        assert hits[0]["source"] == "manual.md"


def test_store_elsewhere(folder, tmp_path):
    as_json("sync", folder, "--store", tmp_path / "index")
    assert as_json("status", folder, "--store", tmp_path / "index")["items"] > 0


def test_verify_names_the_damage_and_the_command(tmp_path):
    (tmp_path / "a.txt").write_text("Words to index.")
    as_json("sync", tmp_path)
    for segment in (tmp_path / ".mmrag" / "vectors").iterdir():
        segment.write_bytes(segment.read_bytes()[:-40])
    found = as_json("verify", tmp_path, code=1)
    assert found["problems"]
    assert found["fix"] == f"mmrag sync {tmp_path} --rebuild"
    assert found["fix"] in mmrag("verify", tmp_path, code=1).stdout
    as_json("sync", tmp_path, "--rebuild")
    assert as_json("verify", tmp_path)["problems"] == []


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a POSIX system")
def test_a_corpus_that_cannot_be_written_needs_a_store_elsewhere(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text("Words.")
    (corpus / ".mmrag").write_text("a file where the store should be")
    told = mmrag("sync", corpus, code=1).stderr
    assert "fix: " in told
