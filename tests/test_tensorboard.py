"""A run, as a real TensorBoard serves it and a real browser shows it."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import matplotlib
import numpy as np
import pytest
from PIL import Image

from callbacks import spread_epochs

LAST_EPOCH = 59
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=15000",
    "--window-size=1280,900",
]


@pytest.fixture(scope="module")
def tensorboard(toy_run, tmp_path_factory):
    """The address of a server over the run, which has read all of it."""
    output = tmp_path_factory.mktemp("tensorboard") / "output.txt"
    with output.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir", toy_run.parent]
            + ["--host", "127.0.0.1", "--port", "0", "--samples_per_plugin=images=1000,text=1000"],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+", output.read_text()))[0]
        wait_for(lambda: is_read(address))
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def is_read(address):
    """Whether TensorBoard has come to what is written last."""
    return "final/loss" in get_json(f"{address}/data/plugin/scalars/tags").get("toy/validation", ())


def wait_for(question, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(0.2)
    raise TimeoutError("TensorBoard does not answer")


def get(address, **query):
    address += f"?{urllib.parse.urlencode(query)}" if query else ""
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read()


def get_json(address, **query):
    return json.loads(get(address, **query))


@pytest.mark.parametrize("layer", [1, 2])
def test_the_film_of_each_layer_has_a_picture_for_each_drawn_epoch(tensorboard, layer):
    plugin = f"{tensorboard}/data/plugin/images"
    (tags,) = get_json(f"{plugin}/tags").values()
    assert set(tags) == {"attention/i love deep/layer_1", "attention/i love deep/layer_2"}

    tag = f"attention/i love deep/layer_{layer}"
    film = get_json(f"{plugin}/images", run="toy/train", tag=tag, sample=0)
    assert [frame["step"] for frame in film] == spread_epochs(LAST_EPOCH + 1)

    pictures = [
        Image.open(io.BytesIO(get(f"{plugin}/individualImage?{frame['query']}")), formats=["PNG"])
        for frame in (film[0], film[-1])
    ]
    assert pictures[0].size == pictures[1].size
    assert pictures[0].tobytes() != pictures[1].tobytes()


def test_every_epoch_has_a_table_of_predictions(tensorboard):
    plugin = f"{tensorboard}/data/plugin/text"
    assert get_json(f"{plugin}/tags") == {"toy/train": ["samples"]}
    tables = get_json(f"{plugin}/text", run="toy/train", tag="samples")
    assert [table["step"] for table in tables] == list(range(LAST_EPOCH + 1))
    assert "<td>i love deep</td>\n<td>learning</td>\n<td>" in tables[-1]["text"]


def test_a_run_is_two_rows_in_the_list_of_runs(tensorboard):
    assert sorted(get_json(f"{tensorboard}/data/runs")) == ["toy/train", "toy/validation"]


def test_curves_reach_to_the_last_epoch(tensorboard):
    plugin = f"{tensorboard}/data/plugin/scalars"
    tags = {run: set(tags) for run, tags in get_json(f"{plugin}/tags").items()}
    figures = {"epoch_loss", "epoch_accuracy", "epoch_perplexity"}
    assert tags == {
        "toy/train": {
            *(*figures, "epoch_learning_rate", "epoch_tokens_per_second"),
            *(
                f"attention_entropy/i love deep/layer_{layer}_head_{head}"
                for layer in (1, 2)
                for head in (1, 2)
            ),
        },
        "toy/validation": {*figures, "final/loss", "final/accuracy", "final/perplexity"},
    }
    curve = get_json(f"{plugin}/scalars", run="toy/train", tag="epoch_loss")
    _, steps, losses = zip(*curve, strict=True)
    assert list(steps) == list(range(LAST_EPOCH + 1))
    assert losses[-1] < losses[0] / 2


def test_the_run_is_a_row_of_figures_and_of_settings_that_differ_from_the_defaults(
    tensorboard, toy_run
):
    def post(name, **request):
        body = json.dumps(request).encode()
        request = urllib.request.Request(
            f"{tensorboard}/data/plugin/hparams/{name}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    columns = [info["name"] for info in post("experiment")["hparamInfos"]]
    assert columns == ["Accuracy", "Loss", "Perplexity", "epochs"]
    (row,) = post("session_groups", allowedStatuses=["STATUS_UNKNOWN"], startIndex=0, sliceSize=9)[
        "sessionGroups"
    ]
    assert row["name"] == "toy"
    results = json.loads((toy_run / "results.json").read_text())["best.keras"]
    expected = {name.capitalize(): value for name, value in results.items()}
    assert row["hparams"] == {**expected, "epochs": 60}
    metrics = {metric["name"]["tag"]: metric["value"] for metric in row["metricValues"]}
    assert {f"final/{name}" for name in results} < set(metrics)
    for name, value in results.items():
        assert metrics[f"final/{name}"] == pytest.approx(value, rel=1e-5)
    assert results["perplexity"] == pytest.approx(np.exp(results["loss"]), rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: `chromium` is not installed")
@pytest.mark.parametrize(
    "dashboard",
    [
        "timeseries",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("hparams", "images", "text", "scalars")
        ),
    ],
)
def test_a_browser_shows_the_dashboard(tensorboard, tmp_path, dashboard):
    screenshot = tmp_path / f"{dashboard}.png"
    browser = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
        + [f"--screenshot={screenshot}", f"{tensorboard}/#{dashboard}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert browser.wait(timeout=60) == 0
    finally:
        if browser.poll() is None:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
    picture = np.asarray(Image.open(screenshot).convert("RGB"))
    assert picture.shape == (900, 1280, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    has_heatmaps = dashboard in ("images", "timeseries")
    assert (count_heatmap_pixels(picture) > 10_000) == has_heatmaps
    content = picture[300:, 350:]  # below the page's head, and beside its settings
    assert (content != content[0, 0]).any(axis=-1).mean() > 0.01


def count_heatmap_pixels(picture):
    """How many pixels have a colour of the scale of attention scores."""
    scale = 255 * matplotlib.colormaps["viridis"](np.linspace(0, 1, 32))[:, :3]
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    distances = np.abs(colours[:, None] - scale).sum(axis=-1).min(axis=-1)
    return counts[distances < 20].sum()
