"The project as a thing to install: one version, a README that is the index notebook, a wheel that is complete."
import configparser, importlib.util, re, subprocess, sys, zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FACTS = configparser.ConfigParser(delimiters=["="])
FACTS.read(ROOT / "settings.ini", encoding="utf-8")
FACTS = FACTS["DEFAULT"]


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode: pytest.skip("not a git checkout")
    return [ROOT / o for o in listed.stdout.splitlines()]


def test_imports_point_one_way():
    "A module imports only what an earlier notebook exports, inside functions too."
    texts = {o.stem: o.read_text(encoding="utf-8") for o in (ROOT / "dualflow").glob("[!_]*.py")}
    notebook = {k: re.search(r"File to edit: \.\./nbs/(.+)\.ipynb", o)[1] for k, o in texts.items()}
    for name, text in texts.items():
        used = {o for found in re.findall(r"^ *from (?:dualflow)?\.(\w+) import|^ *from dualflow import (.+)", text, re.M) for o in ", ".join(found).split(", ")} & texts.keys()
        assert not [o for o in used if notebook[o] >= notebook[name]], (name, used)
    assert len(texts) > 30


def test_one_version():
    import dualflow
    assert dualflow.__version__ == FACTS["version"]


def test_readme_is_the_index():
    spec = importlib.util.spec_from_file_location("readme", ROOT / ".ci/readme.py")
    module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
    assert (ROOT / "README.md").read_text(encoding="utf-8") == module.readme(), "run: python .ci/readme.py"


def test_readme_commands_and_links():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install uv && uv run dualflow-colorize --input data/samples/page_01.png --output colored.png" in text.splitlines()
    assert "pip install uv && uv run --extra dev pytest" in text.splitlines()
    for link in re.findall(r"\]\(([^)#:]+)\)", text): assert (ROOT / link).exists(), link


def test_nothing_tracked_that_should_not_be():
    files = tracked()
    assert not [o for o in files if o.name == "uv.lock" or ".venv" in o.parts or "__pycache__" in o.parts]
    assert not [o for o in files if o.suffix == ".ipynb" and o.stat().st_size > 1_000_000]
    assert sum(o.stat().st_size for o in files if o.suffix == ".safetensors") < 25_000_000


def test_the_project_speaks_of_itself_alone():
    for file in tracked():
        if file.suffix in {".png", ".jpg", ".safetensors"} or not file.is_file(): continue
        found = re.search(r"/(home|root|work|tmp)/\w|files\.pythonhosted|pypi\.org/simple|extra-index-url", file.read_text(encoding="utf-8"))
        assert file == Path(__file__) or not found, f"{file}: {found}"


def test_every_command_is_there():
    from dualflow import cli
    for line in FACTS["console_scripts"].strip().splitlines():
        name, target = (o.strip() for o in line.split("="))
        function = getattr(cli, target.split(":")[1])
        with pytest.raises(SystemExit) as e: function(["--help"])
        assert e.value.code == 0 and function.__doc__, name


def test_wheel_is_complete(tmp_path):
    "Build it by way of the source archive, which must be complete too; unpack it elsewhere, and use it from there."
    done = subprocess.run([sys.executable, "-m", "build", "--outdir", tmp_path / "dist", ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    wheel = next((tmp_path / "dist").glob("*.whl"))
    with zipfile.ZipFile(wheel) as z:
        z.extractall(tmp_path / "site")
        meta = z.read(next(o for o in z.namelist() if o.endswith("METADATA"))).decode()
        entries = z.read(next(o for o in z.namelist() if o.endswith("entry_points.txt"))).decode()
    assert f"Version: {FACTS['version']}" in meta and "Apache-2.0" in meta and "Provides-Extra: dev" in meta and "Requires-Dist: torch" in meta
    assert "dualflow-colorize = dualflow.cli:colorize" in entries and "dualflow._modidx:d" in entries
    code = """
import sys, pkgutil, importlib, pathlib; site = sys.argv[1]; sys.path.insert(0, site)
import dualflow; assert dualflow.__file__.startswith(site), dualflow.__file__
names = [o.name for o in pkgutil.iter_modules(dualflow.__path__)]
for o in names: importlib.import_module('dualflow.' + o)
from dualflow.pipeline import DualFlow, EMBEDDED
assert str(EMBEDDED).startswith(site); DualFlow.from_pretrained(); print(len(names))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "site")], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) >= 12
