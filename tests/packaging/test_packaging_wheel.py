"""The wheel holds what git holds of the package, whether it is built from the checkout or the sdist."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _build(source: Path, out: Path, kind: str) -> Path:
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        f"--{kind}",
        "--outdir",
        str(out),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


def _files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return _build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


def test_wheel_equals_git(wheel):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "mmrag", "indexes", "pipelines"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    moved = {
        f"mmrag/recipes/{name}" if name.startswith(("indexes/", "pipelines/")) else name for name in listed
    }
    assert _files(wheel) == moved


def test_wheel_from_sdist_is_the_same(wheel, tmp_path):
    sdist = _build(ROOT, tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    source = next((tmp_path / "source").iterdir())
    assert _files(_build(source, tmp_path / "again", "wheel")) == _files(wheel)


def test_wheel_carries_model_licence_and_entry_point(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        assert "mmrag = mmrag.cli.main:main" in archive.read(entry_points).decode()
    assert any(name.endswith(".onnx") for name in names)
    assert sum("/licenses/" in name and name.endswith(("LICENSE", "NOTICE")) for name in names) >= 3
    assert "mmrag/py.typed" in names
    assert "mmrag/recipes/pipelines/default.yaml" in names


def test_ignored_files_do_not_leak(tmp_path):
    leak = ROOT / "mmrag" / "__pycache__" / "leak.txt"
    leak.parent.mkdir(exist_ok=True)
    leak.write_text("secret")
    try:
        assert not any("leak" in name for name in _files(_build(ROOT, tmp_path, "wheel")))
    finally:
        leak.unlink()
