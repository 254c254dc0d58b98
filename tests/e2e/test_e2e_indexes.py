"""Search indexes on the command line: a trained one, filters and marks in every lane, pictures, recipes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmrag.testing.samples import picture_of

THINGS = ("pump", "valve", "filter", "sensor", "gasket", "rotor", "nozzle", "bracket")
WORKS = ("replace", "clean", "inspect", "order", "calibrate", "lubricate", "test")
PLACES = ("cellar", "roof", "hall", "yard", "office")
FILES, ROWS = 300, 60
PICTURES = {"wiring.png": ("Wiring of relay K4", "blue wire to A2"), "plate.png": ("Larkwind 300", "24 V")}
PQ = "recipe: 1\nextends: default\nocr: null\ndense:\n  type: faiss\n  kind: ivf-pq\n  recall: 0.95\n"
EXACT = "recipe: 1\nextends: default\nocr: null\ndense: exact\n"


def mmrag(*args: object) -> str:
    command = [sys.executable, "-W", "error", "-m", "mmrag", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout


class Corpus:
    """A folder with its recipe files."""

    def __init__(self, root: Path) -> None:
        self.docs, self.pq, self.exact = root / "docs", root / "pq.yaml", root / "exact.yaml"
        self.pq.write_text(PQ, "utf-8")
        self.exact.write_text(EXACT, "utf-8")

    def sync(self, recipe: Path) -> dict:
        return json.loads(mmrag("sync", self.docs, "--recipe", recipe, "--json"))

    def dense(self, recipe: Path) -> dict:
        status = json.loads(mmrag("status", self.docs, "--recipe", recipe, "--json"))
        return status["indexes"][0]

    def explain(self, *args: object, recipe: Path | None = None) -> dict:
        return json.loads(mmrag("explain", self.docs, *args, "--recipe", recipe or self.pq, "--json"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    corpus = Corpus(tmp_path_factory.mktemp("indexes"))
    for i in range(FILES):
        thing, work, place = THINGS[i % 8], WORKS[i % 7], PLACES[i % 5]
        path = corpus.docs / place / f"{thing}-{i:03d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Please {work} the {thing} of line {i % 37} every {i % 29 + 1} weeks.", "utf-8")
    rows = [f"N{i:03d},{THINGS[i % 8]},{i} euro" for i in range(ROWS)]
    (corpus.docs / "parts.csv").write_text("\n".join(["number,part,price", *rows]), "utf-8")
    for name, lines in PICTURES.items():
        (corpus.docs / name).write_bytes(picture_of(*lines))
    synced = corpus.sync(corpus.pq)
    assert synced["states"]["indexed"] + synced["states"]["partial"] == FILES + 3
    return corpus


def test_status_tells_kind_recall_and_size(corpus: Corpus) -> None:
    dense = corpus.dense(corpus.pq)
    assert dense["kind"] == "ivf-pq"
    assert dense["rows"] >= FILES
    assert dense["newer"] == 0
    assert dense["disk_bytes"] > 0
    first = dense["detail"]["points"][0]
    assert first["recall"] >= dense["detail"]["target"] == 0.95
    said = mmrag("status", corpus.docs, "--recipe", corpus.pq)
    assert f"dense: ivf-pq over {dense['rows']} rows, recall@10 {first['recall']:.3f} of 0.95 wanted" in said
    assert "lexical: tantivy, " in said
    assert "pictures: pictures, " in said


def test_a_filter_holds_in_every_lane(corpus: Corpus) -> None:
    found = corpus.explain("lubricate the pump", "-k", 20, "--filter", 'folder == "roof"')
    assert len(found["hits"]) == 20
    assert {hit["source"].split("/")[0] for hit in found["hits"]} == {"roof"}
    assert [lane["name"] for lane in found["lanes"] if lane["used"]] == ["lexical", "dense"]
    assert all("dense" in hit["scores"] for hit in found["hits"])


def test_what_a_query_excludes_by_name_no_lane_finds(corpus: Corpus) -> None:
    query = "please lubricate the pump"
    assert any("pump-" in hit["source"] for hit in corpus.explain(query)["hits"])
    found = corpus.explain(f"{query} -name:pump", "-k", 30)
    assert len(found["hits"]) == 30
    assert not [hit for hit in found["hits"] if "pump-" in hit["source"]]
    assert any("dense" in hit["ranks"] for hit in found["hits"])


def test_what_a_query_demands_every_lane_keeps_to(corpus: Corpus) -> None:
    found = corpus.explain('lubricate a pump +"line 10"', "-k", 30)
    assert len(found["hits"]) == len([i for i in range(FILES) if i % 37 == 10])
    assert all("line 10 " in hit["text"] for hit in found["hits"])
    # By words and by meaning the same few are left.
    assert all({"lexical", "dense"} == set(hit["ranks"]) for hit in found["hits"])


def test_explain_prints_how_the_query_was_understood(corpus: Corpus) -> None:
    said = mmrag("explain", corpus.docs, 'clean +"line 10" -name:pump', "--recipe", corpus.pq)
    assert (
        'Looks for clean; finds only what has the phrase "line 10"; leaves out what has pump in the' in said
    )


@pytest.mark.parametrize("name", PICTURES)
def test_a_smaller_copy_of_a_picture_finds_it(corpus: Corpus, tmp_path: Path, name: str) -> None:
    with Image.open(io.BytesIO((corpus.docs / name).read_bytes())) as picture:
        picture.resize((400, 200)).save(tmp_path / "photo.jpg", quality=70)
    found = corpus.explain("--image", tmp_path / "photo.jpg")
    assert found["hits"][0]["source"] == name
    assert found["hits"][0]["ranks"]["pictures"] == 1


def test_recipes_can_be_switched_back_and_forth(corpus: Corpus) -> None:
    query = "how often is the rotor of line 12 cleaned"
    best = corpus.explain(query, "-k", 3)["hits"]
    assert corpus.dense(corpus.exact)["kind"] == "exact"
    exactly = corpus.explain(query, "-k", 3, recipe=corpus.exact)["hits"]
    assert exactly[0]["item"] == best[0]["item"]
    assert corpus.sync(corpus.exact)["embedded"] == 0
    assert corpus.explain(query, "-k", 3, recipe=corpus.exact)["hits"] == exactly
    corpus.sync(corpus.pq)
    dense = corpus.dense(corpus.pq)
    assert (dense["kind"], dense["newer"]) == ("ivf-pq", 0)
    assert corpus.explain(query, "-k", 3)["hits"] == best
    assert json.loads(mmrag("verify", corpus.docs, "--recipe", corpus.pq, "--json"))["problems"] == []


def test_a_new_file_is_found_and_a_removed_one_is_not(corpus: Corpus) -> None:
    new = corpus.docs / "yard" / "gate.txt"
    new.write_text("The gate motor in the yard needs lithium grease.", "utf-8")
    corpus.sync(corpus.pq)
    query = "grease for the motor of the gate"
    top = corpus.explain(query, "-k", 1)["hits"][0]
    assert (top["source"], top["ranks"]["dense"]) == ("yard/gate.txt", 1)
    new.unlink()
    corpus.sync(corpus.pq)
    assert "yard/gate.txt" not in {hit["source"] for hit in corpus.explain(query, "-k", 50)["hits"]}
    assert corpus.dense(corpus.pq)["kind"] == "ivf-pq"
