"""`train.py` from end to end, each time in a process of its own."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from callbacks import spread_epochs
from data.corpora import load_corpus
from data.prefixes import Prefixes
from experiments import cli, preparation, training
from experiments.flags import parse_settings
from experiments.settings import Settings
from metrics import MaskedAccuracy, MeanCrossentropy
from tests.callbacks.conftest import read_events
from tests.conftest import PROJECT, run_script
from tests.test_devices import needs_jax

ENDLESS = 10**6
TEXT = "\n".join(
    32 * ["one two three four five six"]
    + 4 * [r"one [aside] [/b] :star: $\frac$ two"]
    # The tenth that is kept for validation.
    + 4 * ["six five [aside] [/b] :star: " + "three four five six one two " * 3 + "unseen"]
)


def saved_numbers(path):
    """All weights in a saved model, and what its optimizer remembers."""
    model = cli.load_model(str(path))
    return [np.array(variable) for variable in [*model.weights, *model.optimizer.variables]]


def evaluate(path, sentences):
    """The figures of a saved model on all prefixes of these sentences."""
    model = cli.load_model(str(path))
    token_ids = model.tokenizer.encode_batch(sentences)
    prefixes = Prefixes(token_ids, model.context_length)
    model.jit_compile = False  # quicker than compiling it
    return model.evaluate(prefixes.evaluation_batches(8), verbose=0, return_dict=True)


def assert_usage_error(status, errors, message):
    assert status == 2
    assert errors.startswith("train.py: error: ")
    assert message in errors
    assert len(errors.splitlines()) == 1


@pytest.fixture(scope="module")
def again(toy_run, tmp_path_factory):
    """The run of `toy_run` once more, from its config.json: its folder and what it said."""
    logs = tmp_path_factory.mktemp("again")
    result = run_script(
        PROJECT / "train.py", "--config", toy_run / "config.json", "--logs", "logs", cwd=logs
    )
    assert result.returncode == 0, result.stderr
    (folder,) = (logs / "logs").iterdir()
    return folder, result


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    """A run on a text file with a validation part: its folder and what it said."""
    place = tmp_path_factory.mktemp("text")
    (place / "text.txt").write_text(TEXT)
    result = run_script(
        PROJECT / "train.py",
        *(
            "--corpus",
            "text.txt",
            "--epochs",
            4,
            "--lr",
            0.02,
            "--run-name",
            "text",
            "--jit",
            "off",
        ),
        *("--probe", r"one [/b] $\frac$", "two three"),
        cwd=place,
    )
    assert result.returncode == 0, result.stderr
    return place / "logs" / "text", result


def test_a_run_folder_is_complete(toy_run):
    assert sorted(path.name for path in toy_run.iterdir()) == [
        *("best.keras", "checkpoint.npz", "config.json", "last.keras", "results.json", "train"),
        *("training.json", "validation"),
    ]


def test_config_json_holds_the_settings_and_where_the_model_comes_from(toy_run):
    config = json.loads((toy_run / "config.json").read_text())
    provenance = config.pop("provenance")
    assert config == dataclasses.asdict(Settings(epochs=60, logs=str(toy_run.parent)))
    assert provenance["settings"] == Settings(epochs=60).shared()
    assert provenance["corpus"] == {"source": "toy", "sha256": load_corpus("toy").sha256}
    assert {"python", "backend", "keras", "tensorflow"} <= set(provenance["versions"])
    assert cli.load_model(str(toy_run / "best.keras")).provenance == provenance


def test_config_json_says_where_the_text_lies_and_the_model_what_it_was_called(text_run):
    folder, _ = text_run
    text = folder.parent.parent / "text.txt"
    provenance = json.loads((folder / "config.json").read_text())["provenance"]
    assert provenance["corpus"]["source"] == str(text)
    provenance["corpus"]["source"] = "text.txt"
    for name in ("best.keras", "last.keras"):
        assert cli.load_model(str(folder / name)).provenance == provenance


def test_a_model_that_is_passed_on_does_not_tell_the_folders_of_its_author(text_run):
    folder, _ = text_run
    places = [str(folder.parent.parent), os.path.expanduser("~/"), "logs", "two three"]
    for name in ("best.keras", "last.keras"):
        with zipfile.ZipFile(folder / name) as file:
            contents = [file.read(member) for member in file.namelist()]
        for content in (*contents, (folder / name).read_bytes()):
            assert [place for place in places if place.encode() in content] == []


def test_the_events_of_a_run_are_in_two_folders(toy_run):
    some, all_ = spread_epochs(60), list(range(60))
    figures = ["epoch_accuracy", "epoch_loss", "epoch_perplexity"]
    heatmaps = [f"attention/i love deep/layer_{layer}" for layer in (1, 2)]
    entropies = [
        f"attention_entropy/i love deep/layer_{layer}_head_{head}"
        for layer in (1, 2)
        for head in (1, 2)
    ]
    expected = {
        **dict.fromkeys(["samples", *figures], all_),
        **dict.fromkeys(["epoch_learning_rate", "epoch_tokens_per_second"], all_),
        **dict.fromkeys([*heatmaps, *entropies], some),
    }
    events = read_events(toy_run / "train")
    assert {tag: list(values) for tag, values in events.items()} == expected
    expected = {  # on the training text, but without dropout
        **dict.fromkeys(figures, some),
        **{f"final/{name}": [0] for name in ("accuracy", "loss", "perplexity")},
        "_hparams_/session_start_info": [0],
    }
    events = read_events(toy_run / "validation")
    assert {tag: list(values) for tag, values in events.items()} == expected


def test_the_results_of_a_run_are_those_of_its_best_model(toy_run):
    figures = read_events(toy_run / "validation")
    evaluation = evaluate(toy_run / "best.keras", load_corpus("toy").sentences)
    losses = figures["epoch_loss"]
    for name, value in evaluation.items():
        assert figures[f"final/{name}"][0] == pytest.approx(value, rel=1e-5)
    assert min(losses.values()) == pytest.approx(evaluation["loss"], rel=1e-5)


@pytest.mark.parametrize("is_kept", [True, False])
def test_few_evaluation_batches_are_kept_and_many_made_anew(monkeypatch, is_kept):
    settings, corpus = Settings(), load_corpus("toy")
    data = preparation.prepare_data(settings, corpus)
    tokens = 16 * settings.architecture.context_length  # a row for each of 16 prefixes
    monkeypatch.setattr(training, "_KEPT_TOKENS", tokens if is_kept else tokens - 1)
    batches = training.evaluation_batches(settings, data)
    assert (type(batches).__name__ == "CacheDataset") == is_kept
    (expected,) = data.evaluation.evaluation_batches(16).as_numpy_iterator()
    for _ in range(2):
        (batch,) = batches.as_numpy_iterator()
        assert [part.tolist() for part in batch] == [part.tolist() for part in expected]


def test_metrics_begin_anew_whatever_was_compiled_and_when():
    settings, corpus = Settings(), load_corpus("toy")
    data = preparation.prepare_data(settings, corpus)
    model = training.build_model(settings, corpus, data)
    batches = data.training.training_batches(8, seed=0)
    model.reset_metrics()  # before there are any
    for metrics in ([MeanCrossentropy(), MaskedAccuracy()], [MaskedAccuracy()]):
        model.fit(batches, steps_per_epoch=2, verbose=0, shuffle=False)
        assert any(float(v) for metric in model.metrics for v in metric.variables)
        model.reset_metrics()
        assert {float(v) for metric in model.metrics for v in metric.variables} == {0.0}
        model.compile("adam", model.loss, weighted_metrics=metrics)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(toy_run, again):
    folder, _ = again
    for name in ("best.keras", "last.keras"):
        first, second = saved_numbers(toy_run / name), saved_numbers(folder / name)
        assert len(first) > 100
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


JITS = """
from experiments import cli
cli.import_keras()
import keras
from data.corpora import load_corpus
from experiments import preparation, training
from experiments.settings import Settings
corpus = load_corpus("toy")
for jit in ("auto", "off"):
    settings = Settings(jit=jit)
    data = preparation.prepare_data(settings, corpus)
    print(training.build_model(settings, corpus, data).jit_compile)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "compiles"), [("tensorflow", False), pytest.param("jax", True, marks=needs_jax)]
)
def test_a_tiny_training_is_compiled_where_all_else_is_slow(backend, compiles):
    result = run_script("-c", JITS, KERAS_BACKEND=backend)
    assert result.stdout.splitlines() == [str(compiles), "False"], result.stderr


def test_another_seed_gives_other_weights():
    corpus = load_corpus("toy")
    models = [
        training.build_model(settings, corpus, preparation.prepare_data(settings, corpus))
        for settings in (Settings(seed=0), Settings(seed=0), Settings(seed=1))
    ]
    first, same, other = (np.array(model.trainable_variables[0]) for model in models)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).mean() > 0.01


def test_a_smoothed_training_reports_as_any_other():
    corpus = load_corpus("toy")
    losses = []
    for settings in (Settings(), Settings(label_smoothing=0.5)):
        data = preparation.prepare_data(settings, corpus)
        model = training.build_model(settings, corpus, data)
        figures = model.evaluate(data.evaluation.evaluation_batches(8), verbose=0)
        losses.append((figures[0], model.loss.label_smoothing))
    assert losses == [(losses[0][0], 0), (losses[0][0], 0.5)]


def test_the_recipe_of_the_paper_reaches_the_optimizer():
    corpus = load_corpus("toy")
    recipe = {"warmup_steps": 4, "decay": "inverse_sqrt", "beta_2": 0.98, "epsilon": 1e-9}
    settings = Settings(learning_rate=0.01, **recipe)
    data = preparation.prepare_data(settings, corpus)
    optimizer = training.build_model(settings, corpus, data).optimizer
    assert (optimizer.beta_2, optimizer.epsilon) == (0.98, 1e-9)
    rates = []
    for step in (2, 4, 16):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert rates == pytest.approx([0.005, 0.01, 0.005])


def test_a_run_from_a_config_has_its_settings(toy_run, again):
    folder, _ = again
    config = parse_settings(["--config", str(folder / "config.json")])[0]
    assert config == Settings(epochs=60, logs="logs")
    assert folder.name.startswith("toy-encoder-")


def test_the_report_compares_the_models_with_the_best_possible(again):
    _, result = again
    figures = {
        name: [float(word.rstrip("%")) for word in words]
        for name, *words in (
            line.replace("best possible", "best-possible").split()
            for line in result.stdout.splitlines()
            if line.startswith(("best.keras ", "last.keras ", "best possible "))
        )
    }
    assert figures["best-possible"] == [0.2060, 87.5, 1.229]
    assert 0.2060 <= figures["best.keras"][0] <= figures["last.keras"][0] < 3
    assert "deep / artificial / models" in result.stdout


@pytest.mark.parametrize("run", ["again", "text_run"])
def test_a_run_that_goes_well_says_nothing_on_standard_error(run, request):
    _, result = request.getfixturevalue(run)
    assert result.stderr == ""


@pytest.mark.parametrize("run", ["again", "text_run"])
def test_no_line_is_longer_than_100_columns(run, request):
    _, result = request.getfixturevalue(run)
    assert max(len(line) for line in result.stdout.splitlines()) <= 100


def test_a_run_with_a_validation_part_writes_its_figures(text_run):
    folder, _ = text_run
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    assert names == {"train", "validation"}
    for name in ("train", "validation"):
        assert list(read_events(folder / name)["epoch_loss"]) == [0, 1, 2, 3]


def test_the_best_model_is_the_one_of_the_lowest_validation_loss(text_run):
    folder, _ = text_run
    losses = list(read_events(folder / "validation")["epoch_loss"].values())
    assert np.argmin(losses) != 3
    _, held_out = load_corpus(str(folder.parent.parent / "text.txt")).split(0.1, at_lines=True)
    for name, loss in (("best.keras", min(losses)), ("last.keras", losses[-1])):
        assert evaluate(folder / name, held_out.sentences)["loss"] == pytest.approx(loss, rel=1e-4)


def test_words_are_shown_as_they_are_written(text_run):
    folder, result = text_run
    line = next(line for line in result.stdout.splitlines() if "[aside] [/b] :star:" in line)
    assert line.split()[:5] == ["six", "five", "[aside]", "[/b]", ":star:"]
    tags = read_events(folder / "train")
    assert {r"attention/one [/b] $\frac$/layer_1", "attention/two three/layer_2"} <= set(tags)


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(model, tmp_path):
    settings = Settings(logs=str(tmp_path))
    folders = [training.open_folder(settings, load_corpus("toy"), None, model) for _ in range(3)]
    assert len(set(folders)) == 3
    assert all((folder / "config.json").exists() for folder in folders)


@pytest.mark.parametrize(
    ("argv", "content", "message"),
    [
        (["--no-such-flag"], None, "unrecognized arguments: --no-such-flag"),
        (["--epochs", "0"], None, "argument --epochs: expected a whole number of at least 1"),
        (["--vocabulary-size", "1"], None, "argument --vocabulary-size: expected a whole number"),
        (["--tokenizer=bpe", "--vocabulary-size=9"], None, "argument --vocabulary-size: expected"),
        (["--d-model", "10", "--heads", "4"], None, "argument --num-heads: expected a divisor"),
        (["--corpus", "missing.txt"], None, "missing.txt: expected toy, sort, induction, "),
        (["--corpus", "two\nlines.txt"], None, "lines.txt: expected toy, sort, induction, "),
        (
            ["--train-length", "17", "--corpus", "sort"],
            None,
            "argument --train-length: expected at",
        ),
        (["--corpus", "n" * 300], None, "nnn: expected "),
        (["--corpus", ""], None, "argument --corpus: expected "),
        (["--corpus", "."], None, "expected a folder with .txt files"),
        (["--corpus", "text.txt"], b"", "text.txt: expected text, found no words"),
        (["--corpus", "text.txt"], b" \n", "text.txt: expected text, found no words"),
        (["--corpus", "text.txt"], b"a\0b", "text.txt: expected UTF-8 text, found a binary file"),
        (["--corpus", "text.txt"], b"na\xefve", "text.txt: expected UTF-8 text, found the byte"),
        (["--config", "missing.json"], None, "argument --config: expected a readable file"),
        (["--config", "text.txt"], b"no JSON", "text.txt: expected JSON"),
        (["--config", "text.txt"], b'{"depth": 3}', "text.txt: unknown key 'depth'"),
    ],
)
def test_what_is_wrong_before_keras_is_needed(tmp_path, argv, content, message):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    result = run_script(PROJECT / "train.py", *argv, cwd=tmp_path)
    assert result.stdout == ""
    assert_usage_error(result.returncode, result.stderr, message)
    assert not (tmp_path / "logs").exists()


LATE_MISTAKES = {
    "one word": (["--corpus", "one-word.txt"], "argument --corpus: "),
    "one different word": (["--corpus", "one-different-word.txt"], "argument --corpus: "),
    "one token": (
        ["--corpus=one-token.txt", "--tokenizer=bpe", "--model=decoder"],
        "argument --corpus: one-token.txt: expected a line of at least two tokens",
    ),
    "lines of one word": (["--corpus", "list.txt"], "argument --corpus: "),
    "nothing to validate on": (["--validation-split", "0.01"], "argument --validation-split: "),
    "nothing to train on": (["--validation-split", "0.99"], "found 1 (see --validation-split)"),
    "long context": (
        ["--model=decoder", "--context-length=100"],
        "argument --context-length: toy has 22 words to train on; expected fewer than that, got",
    ),
    "long pieces": (
        ["--model=decoder", "--context-length=100", "--train-length=50"],
        "argument --train-length: toy has 22 words to train on; expected fewer than that, got 50",
    ),
    "long warm-up": (
        ["--warmup-steps=2"],
        "argument --warmup-steps: expected fewer than the 2 steps of the training, got 2",
    ),
    "empty probe": (["--probe", ""], "argument --probe: expected at least one word"),
    "blank probe": (["--probe", "i love", " \t"], "argument --probe: expected at least one word"),
    "probe of no text": (["--probe", "i \udcff"], "argument --probe: expected "),
    "taken name": (["--logs", ".", "--run-name", "taken"], "argument --run-name: expected the"),
    "long name": (["--run-name", "n" * 300], "argument --run-name: expected "),
    "logs is a file": (["--logs", "list.txt"], "argument --logs: expected a folder"),
    "logs in a file": (["--logs", "list.txt/logs"], "argument --logs: expected a folder"),
    "logs cannot be": (["--logs", "/proc/no-such-folder"], "argument --logs: expected a folder"),
}
LATE_TEXTS = {
    "one-token.txt": "aaaaaaaa",
    "one-word.txt": "word\n",
    "one-different-word.txt": "Word word\nWORD word\n",
    "list.txt": "milk\nbread\nbutter\n",
}
TINY = ["--batch-size=8", "--context-length=4", "--validation-split=0", "--epochs=1"]
RUN_ALL = """
import json, os, sys, tempfile
import train
from experiments import cli

results = []
for argv in json.loads(sys.argv[1]):
    sys.argv = ["train.py", *argv]
    files = [tempfile.TemporaryFile("w+") for _ in range(2)]
    kept = [os.dup(number) for number in (1, 2)]
    for number, file in enumerate(files, start=1):
        os.dup2(file.fileno(), number)
    try:
        cli.run(train.main)
    except SystemExit as end:
        status = end.code
    except BaseException as error:
        status = repr(error)
    sys.stdout.flush()
    sys.stderr.flush()
    for number, file in enumerate(kept, start=1):
        os.dup2(file, number)
    results.append([status, *(file.seek(0) or file.read() for file in files)])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def short_runs(toy_run, tmp_path_factory):
    """Runs that end before they train, in one process so that Keras is imported only once.

    Returns the folder they ran in and, by name, the status, output and errors of each.
    """
    place = tmp_path_factory.mktemp("short")
    (place / "taken").mkdir()
    for name, text in LATE_TEXTS.items():
        (place / name).write_text(text)
    argvs = {name: [*TINY, *argv] for name, (argv, _) in LATE_MISTAKES.items()}
    config = str(toy_run / "config.json")
    argvs["dry run"] = ["--config", config, "--layers=1", "--num_heads=4", "--dry-run"]
    argvs["dry run"] += ["--logs", "dry"]
    result = run_script(
        "-c", RUN_ALL, json.dumps(list(argvs.values())), cwd=place, PYTHONPATH=str(PROJECT)
    )
    assert result.returncode == 0, result.stderr
    return place, dict(zip(argvs, json.loads(result.stdout), strict=True))


@pytest.mark.parametrize("name", LATE_MISTAKES)
def test_what_is_wrong_with_the_text_or_the_folder(short_runs, name):
    status, _, errors = short_runs[1][name]
    assert_usage_error(status, errors, LATE_MISTAKES[name][1])


def test_mistakes_leave_no_run_folder(short_runs):
    place, _ = short_runs
    assert list(place.glob("*/*")) == []


def test_a_dry_run_shows_what_config_and_flags_say_and_writes_nothing(short_runs):
    place, results = short_runs
    status, output, errors = results["dry run"]
    assert (status, errors) == (0, "")
    assert "12 words known, 16 prefixes to train on" in output
    assert "1 layers, 4 heads, d_model 16" in output
    assert not (place / "dry").exists()


@contextlib.contextmanager
def running(logs, *arguments):
    """A `train.py` that runs meanwhile; killed afterwards if it still does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child inherits an ignored signal
    command = [sys.executable, "train.py", "--logs", logs, "--run-name", "run", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*map(str, command)], cwd=PROJECT, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


ENDS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


def answers_signals(process):
    """Whether a script has got so far that it has its own answer to signals."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return caught & (1 << signal.SIGTERM - 1)  # the last of them; Python itself catches Ctrl-C


def stop(logs, number, line, seconds, *arguments):
    """Sends a signal some seconds after the start, or after a line that begins with `line`."""
    with running(logs, *arguments) as process:
        while not answers_signals(process):
            assert process.poll() is None
            assert "tensorflow" not in Path(f"/proc/{process.pid}/maps").read_text(), "too late"
            time.sleep(0.001)
        printed = ""
        while line and not printed.startswith(line):
            printed = process.stdout.readline()
            assert printed, "the run ended too early"
        time.sleep(seconds)
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    status, word = ENDS[number]
    assert process.returncode == status
    assert (output + errors).count(word) == 1
    assert len(errors.splitlines()) <= 1
    return output


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("seconds", [0, 0.6, 1.2])
def test_a_signal_before_training_ends_it_at_once(tmp_path, number, seconds):
    stop(tmp_path, number, None, seconds, "--epochs", ENDLESS)


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDS)
def test_a_signal_as_training_starts_leaves_whole_files_or_none(tmp_path, number):
    stop(tmp_path, number, "run ", 0, "--epochs", ENDLESS)
    for path in (tmp_path / "run").glob("*.keras"):
        assert cli.load_model(str(path)).predict_next("i love", k=1)


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDS)
def test_a_signal_in_training_leaves_a_whole_run(tmp_path, number):
    output = stop(tmp_path, number, "epoch ", 0.1, "--epochs", ENDLESS)
    assert "--resume run goes on" in output
    for name in ("best.keras", "last.keras"):
        assert cli.load_model(str(tmp_path / "run" / name)).predict_next("i love", k=1)
    for name in ("train", "validation"):
        assert all(0 in steps for steps in read_events(tmp_path / "run" / name).values())


@pytest.mark.slow
def test_a_request_to_terminate_during_the_report_leaves_a_run_that_resume_reports(tmp_path):
    folder = tmp_path / "run"
    with running(tmp_path, "--epochs", 2) as process:
        while not (folder / "last.keras").exists():
            assert process.poll() is None
            time.sleep(0.001)
        process.terminate()  # at once: the evaluations take some tenths of a second
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (143, "train.py: terminated\n")
    assert not (folder / "results.json").exists()
    result = run_script("train.py", "--logs", tmp_path, "--resume", "run")
    assert result.returncode == 0, result.stderr
    assert "on the training text" in result.stdout


@pytest.mark.slow
def test_a_run_killed_while_it_saves_leaves_its_last_whole_model(tmp_path):
    folder = tmp_path / "run"
    best = folder / "best.keras"

    def state():
        names = {path.name for path in folder.iterdir() if path.suffix == ".keras"}
        return names, best.stat().st_mtime_ns

    big = ("--d-model", 256, "--dff", 1024, "--layers", 3, "--epochs", 2, "--jit", "off")
    with running(tmp_path, *big) as process:
        while not best.exists():
            assert process.poll() is None
            time.sleep(0.001)
        saved = state()
        while state() == saved:
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
        process.wait()
    names, _ = state()
    assert names - {"best.keras"}, "it was not killed while saving"
    assert "last.keras" not in names
    assert cli.load_model(str(best)).d_model == 256


@pytest.mark.slow
def test_a_reader_that_has_had_enough_ends_the_run_in_silence(tmp_path):
    with running(tmp_path, "--epochs", ENDLESS) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(timeout=30)
    assert (process.returncode, errors) == (1, "")
