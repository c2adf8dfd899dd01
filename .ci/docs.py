"""Builds the documentation site of the notebooks without Quarto: `python .ci/docs.py [FOLDER]` (`_docs` by default).
nbdev turns exported cells into their documentation; a few changes make MyST notebooks of these, and Sphinx does the rest."""
import ast, json, os, re, shutil, sys, tempfile
from itertools import groupby
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
DIRECTIVE = re.compile(r"^#\s*\|.*\n?", re.M)
OPTIONS = dict(project="dualflow", html_title="dualflow", html_theme="furo", extensions=["myst_nb"],
               myst_enable_extensions=["colon_fence", "attrs_inline", "dollarmath"],
               nb_execution_mode="off", nb_render_markdown_format="myst", html_copy_source=False,
               # a page's documentation starts at ###, and signatures hold types that are no Python
               suppress_warnings=["myst.header", "misc.highlighting_failure"])

PARTS = {"Pages": "00", "Datasets": "01", "Networks and fusion": ("02", "03", "04", "05"), "Measures and training": ("06", "07"), "In use": ("08", "09", "10")} # How names of notebooks begin


def definitions(page):
    "What the module of a page defines: {name: (line, source)}."
    if not (module := ROOT / f"dualflow/{page}.py").exists(): return {}
    code = module.read_text(encoding="utf-8")
    found = [o for o in ast.parse(code).body if isinstance(o, (ast.FunctionDef, ast.ClassDef))]
    starts = [min([o.lineno, *(d.lineno for d in o.decorator_list)]) for o in found]
    return {o.name: (n, "\n".join(code.splitlines()[n - 1:o.end_lineno])) for o, n in zip(found, starts)}


def documents(cell):
    "Which name a cell documents, or None."
    name = re.search(r"^show_doc\(([\w.]+)\)", "".join(cell["source"]), re.M) if cell["cell_type"] == "code" else None
    return name and name[1]


def read(path):
    "A processed notebook and its front matter; documentation cells become markdown."
    nb = json.loads(path.read_text(encoding="utf-8"))
    front = yaml.safe_load("".join(nb["cells"].pop(0)["source"]).strip().strip("-")) if nb["cells"][0]["cell_type"] == "raw" else {}
    page = Path(front.get("output-file", path.name)).stem
    defined, cells = definitions(page), []
    for shown, run in groupby(nb["cells"], lambda cell: bool(documents(cell))):  # in the module's order; nbdev begins with the last
        cells += sorted(run, key=lambda cell: defined.get(documents(cell).split(".")[0], [0])[0]) if shown else run
    nb["cells"] = cells
    for cell in nb["cells"]:
        text, name = "".join(cell["source"]), documents(cell)
        if cell["cell_type"] == "code":
            if "#| output: asis" in text:
                text = "\n\n".join("".join(o["data"].get("text/markdown", "")) for o in cell["outputs"] if "data" in o)
                text = re.sub(r"^---\n+(\[source\].*\n+)?", "", text)
                if name in defined: text += f"\n\n<details><summary>Source</summary>\n\n````python\n{defined[name][1]}\n````\n\n</details>"
                cell.update(cell_type="markdown", metadata={})
                for key in ("outputs", "execution_count"): cell.pop(key, None)
            elif "#| echo: false" in text: cell["metadata"] = {"tags": ["remove-input"]}
            text = DIRECTIVE.sub("", text)
        else: text = re.sub(r"^:::+ *\{\.callout-(\w+)[^}]*\}", r":::{\1}", text, flags=re.M)
        cell["source"] = text
    if "title" in front: nb["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": f"# {front['title']}\n\n> {front.get('description', '')}"})
    return nb, page


def prepare(processed, target, site):
    "Write what Sphinx reads to the folder `target`; `site` is the address that nbdev's links between pages begin with."
    books = {path.name: read(path) for path in sorted(processed.rglob("*.ipynb"))}
    labels = set()
    for nb, page in books.values():  # a label before each documented name, so that every page can point to it
        def mark(found):
            labels.add(label := f"{page}.{found[1].lower()}")
            return f"({label})=\n{found[0]}"
        for cell in nb["cells"]:
            if cell["cell_type"] == "markdown": cell["source"] = re.sub(r"\A#{2,4} ([\w.]+)(?=\n\n```python\n(?:def|class) )", mark, cell["source"])

    def links(text):
        text = re.sub(re.escape(site) + r"/(\w+)\.html(?:#([\w.]+))?",
                      lambda o: f"#{o[1]}.{o[2]}" if f"{o[1]}.{o[2]}" in labels else f"{o[1]}.ipynb", text)
        text = re.sub(r"\]\((?:\.\./|nbs/)+", "](", text)  # all pages lie in one folder here
        return re.sub(r"\]\((?:\w+/)*(\w+\.ipynb)", lambda o: f"]({books[o[1]][1]}.ipynb" if o[1] in books else o[0], text)

    for nb, page in books.values():
        for cell in nb["cells"]:
            if cell["cell_type"] == "markdown": cell["source"] = links(cell["source"])
    parts = {}
    for name, (_, page) in books.items():
        if page != "index": parts.setdefault(next((part for part, begins in PARTS.items() if name.startswith(begins)), "Lessons and benchmarks"), []).append(page)
    for name in ("MODEL_CARD.md", "LICENSE"):
        if (ROOT / name).exists(): (target / name).write_text(links((ROOT / name).read_text(encoding="utf-8")), encoding="utf-8")
    if (target / "MODEL_CARD.md").exists(): parts["Lessons and benchmarks"].append("MODEL_CARD")
    trees = [f"```{{toctree}}\n:hidden:\n:caption: {part}\n\n" + "\n".join(pages) + "\n```" for part, pages in parts.items()]
    books["index.ipynb"][0]["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "\n\n".join(trees)})
    for nb, page in books.values(): (target / f"{page}.ipynb").write_text(json.dumps(nb), encoding="utf-8")
    if (ROOT / "nbs/images").exists(): shutil.copytree(ROOT / "nbs/images", target / "images")


def build(folder):
    "Build the site into `folder`; any warning is an error."
    from nbdev.config import get_config
    from nbdev.serve import proc_nbs
    from sphinx.application import Sphinx
    os.chdir(ROOT)
    processed = proc_nbs(n_workers=2)
    with tempfile.TemporaryDirectory() as source:
        prepare(processed, Path(source), get_config().doc_url.rstrip("/"))
        app = Sphinx(source, None, folder, Path(source) / ".doctrees", "html", confoverrides=OPTIONS, warningiserror=True)
        app.build()
    return app.statuscode


if __name__ == "__main__": sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_docs").resolve()))
