"""The guided walks run as they stand, in kernels of their own, and say what they should."""

import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import PROJECT

NOTEBOOKS = {path.stem: path for path in (PROJECT / "notebooks").glob("*.ipynb")}


# Not what follows a name, a dot or a colon: relative paths and addresses may stand there.
ABSOLUTE_PATH = re.compile(r"(?<![\w./:])(/[\w.-]+){2,}|\b[A-Z]:\\")


@pytest.fixture(scope="module", params=sorted(NOTEBOOKS))
def name(request):
    """Which of the notebooks."""
    return request.param


@pytest.fixture(scope="module")
def committed(name):
    return nbformat.read(NOTEBOOKS[name], as_version=4)


@pytest.fixture(scope="module")
def executed(name, tmp_path_factory):
    """The notebook after a run in a copy of the project, and the files that the run left there."""
    home = tmp_path_factory.mktemp("notebook")
    copy = home / "project"
    no_sources = shutil.ignore_patterns(".*", "logs", "tests", "benchmarks", "docs", "__pycache__")
    shutil.copytree(PROJECT, copy, ignore=no_sources)
    before = files_of(copy)
    notebook = nbformat.read(copy / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in code_cells(notebook):
        cell.outputs = []
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONDONTWRITEBYTECODE", "1")
        for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
            environment.setenv(variable, str(home / variable))
        client = NotebookClient(
            notebook, timeout=180, resources={"metadata": {"path": str(copy / "notebooks")}}
        )
        client.execute()
    return notebook, files_of(copy) - before


def files_of(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds_of_output(cell):
    """What a cell shows: pictures, text, errors, or something on a stream."""
    kinds = {output.get("name", output.output_type) for output in cell.outputs}
    if any("image/png" in output.get("data", {}) for output in cell.outputs):
        kinds.add("picture")
    return kinds


def printed(notebook):
    return "".join(
        output.text
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )


def written(notebook):
    """All text of a notebook: sources, what they print, and the text form of what they show."""
    texts = [cell.source for cell in notebook.cells]
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        texts += [output.get("text", ""), *output.get("traceback", [])]
        texts += [text for kind, text in output.get("data", {}).items() if kind[:5] == "text/"]
    return "\n".join(texts)


@pytest.mark.slow
def test_it_runs_and_every_cell_shows_what_the_committed_file_shows(executed, committed):
    notebook, _ = executed
    shown = [kinds_of_output(cell) for cell in code_cells(notebook)]
    assert [kinds_of_output(cell) for cell in code_cells(committed)] == shown
    assert not any("stderr" in kinds for kinds in shown), "a warning or a log is shown"
    assert sum("picture" in kinds for kinds in shown) == 4


def test_the_committed_file_was_run_once_from_top_to_bottom(committed):
    counts = [cell.execution_count for cell in code_cells(committed)]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.slow
def test_running_it_leaves_no_files_behind(executed):
    _, new_files = executed
    assert not new_files


@pytest.mark.parametrize("which", [pytest.param("executed", marks=pytest.mark.slow), "committed"])
def test_it_learns_what_can_be_learned(which, name, request):
    notebook = request.getfixturevalue(which)
    text = printed(notebook if which == "committed" else notebook[0])
    {"transformer": check_transformer, "encoder_decoder": check_encoder_decoder}[name](text)


def check_transformer(text):
    loss, best = map(float, re.search(r"loss +(\S+), best possible (\S+)", text).groups())
    assert best == pytest.approx(0.2060)
    assert best <= loss < best + 0.02

    for prompt, word in [
        ("i love deep", "learning"),
        ("deep learning is", "fun"),
        ("artificial intelligence is", "cool"),
        ("models learn", "patterns"),
    ]:
        assert float(re.search(rf"^{prompt} +{word} (\S+)%$", text, re.MULTILINE)[1]) > 95

    three_ways = re.search(r"^i love  +(.*)$", text, re.MULTILINE)[1]
    shares = {word: float(share) for word, share in re.findall(r"(\w+) (\S+)%", three_ways)}
    assert set(shares) == {"deep", "artificial", "models"}
    assert all(25 < share < 42 for share in shares.values())

    for changed in ("an output", "a logit by five padding tokens"):
        assert float(re.search(rf"largest change of {changed}: (\S+)", text)[1]) < 1e-5
    assert "the same logits, to the last bit: True" in text


def check_encoder_decoder(text):
    assert (
        float(re.search(r"largest change of a logit by four padding tokens: (\S+)", text)[1]) < 1e-5
    )
    assert "with smoothing 0.1 the lowest loss is at a probability of 0.91" in text
    by_letter, whole = re.findall(r"\(teacher forcing\) +(\S+)%|by letter +(\S+)%", text)
    assert 80 < float(whole[1]) < float(by_letter[0]) < 100
    greedy, beams = map(int, re.search(r"(\d+) greedy, (\d+) with five beams", text).groups())
    assert greedy < beams <= 1000
    scores = re.findall(r"^  (?:greedy|five beams) +\w+ +log p (\S+)$", text, re.MULTILINE)
    lower, higher = map(float, scores)
    assert lower < higher < 0
    one, other = re.search(r"there greedy takes .* \((\d+)%\) before .* \((\d+)%\)", text).groups()
    assert int(one) >= int(other)


def test_the_file_is_small_and_knows_no_machine(committed, name):
    assert NOTEBOOKS[name].stat().st_size < 1_000_000
    assert set(committed.metadata) == {"kernelspec", "language_info"}
    assert all(not cell.metadata for cell in committed.cells)
    assert ABSOLUTE_PATH.search("saved in /folder/file.txt")
    assert ABSOLUTE_PATH.search(r"C:\Users\me")
    assert not ABSOLUTE_PATH.search(written(committed))
