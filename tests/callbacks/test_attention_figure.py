"""The picture of attention scores, pixel by pixel."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from callbacks import AttentionFigure

TEXTS = {
    "toy": ["i", "love", "deep"],
    "one word": ["deep"],
    "long words": ["incomprehensibilities", "is", "artificial", "intelligence"],
    "many words": ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and"],
}
SIZES = [(1, 1), (2, 2), (1, 4), (1, 5), (1, 6), (3, 1)]  # layers and heads


def make_figure(tokens, layers, heads):
    return AttentionFigure(tokens, layers=(1, layers), num_heads=heads)


def random_scores(layers, heads, length, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(length), (layers, heads, length))


def colour_of_cell(figure, picture, panel, query, key):
    axes = figure.figure.axes[panel]
    x, y = axes.transData.transform((key + 0.2, query + 0.2))  # beside the middle
    return picture[len(picture) - 1 - int(y), int(x)]


def viridis(score):
    return np.array(matplotlib.colormaps["viridis"](score, bytes=True)[:3])


@pytest.mark.parametrize(("text", "layers", "heads"), [("toy", 1, 2), ("many words", 2, 1)])
def test_redrawing_gives_the_pixels_of_a_new_figure(text, layers, heads):
    tokens = TEXTS[text]
    figure = make_figure(tokens, layers, heads)
    pictures = []
    for seed in range(3):
        scores = random_scores(layers, heads, len(tokens), seed)
        pictures.append(figure.draw(scores))
        new = make_figure(tokens, layers, heads).draw(scores)
        np.testing.assert_array_equal(pictures[-1], new)
    assert pictures[0].dtype == np.uint8
    assert pictures[0].ndim == 3
    assert (pictures[0] != pictures[1]).any()


def test_an_earlier_picture_stays_as_it_was():
    figure = make_figure(TEXTS["toy"], 1, 2)
    first = figure.draw(np.zeros((1, 2, 3, 3)))
    copy = first.copy()
    figure.draw(np.ones((1, 2, 3, 3)))
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("score", [0, 0.25, 0.5, 1])
def test_colours_are_on_one_scale_from_0_to_1(score):
    figure = make_figure(TEXTS["toy"], 1, 2)
    picture = figure.draw(np.full((1, 2, 3, 3), score))
    for panel in range(2):
        for query in range(3):
            for key in range(3):
                colour = colour_of_cell(figure, picture, panel, query, key)
                np.testing.assert_allclose(colour, viridis(float(score)), atol=1)


def test_rows_are_queries_and_columns_are_keys_of_the_titled_head():
    figure = AttentionFigure(TEXTS["toy"], layers=(3, 4), num_heads=2)
    titles = [axes.get_title() for axes in figure.figure.axes[:4]]
    assert titles == [
        f"layer {layer}, head {head}" for layer, head in [(3, 1), (3, 2), (4, 1), (4, 2)]
    ]
    scores = np.zeros((2, 2, 3, 3))
    scores[1, 0, 2, 1] = 1  # layer 4, head 1: "deep" looks at "love"
    picture = figure.draw(scores)
    bright = [
        (titles[panel], query, key)
        for panel in range(4)
        for query in range(3)
        for key in range(3)
        if (abs(colour_of_cell(figure, picture, panel, query, key) - viridis(1.0)) <= 1).all()
    ]
    assert bright == [("layer 4, head 1", 2, 1)]


def test_both_axes_name_the_tokens():
    figure = make_figure(["i", "love", "incomprehensibilities"], 1, 1)
    figure.draw(np.zeros((1, 1, 3, 3)))
    axes = figure.figure.axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["i", "love", "incomprehen…"]


@pytest.mark.parametrize("token", ["$x$", r"$\frac$", r"\$$"])
def test_tokens_are_shown_as_they_are(token):
    figure = make_figure(["i", token], 1, 1)
    figure.draw(np.zeros((1, 1, 2, 2)))
    label = figure.figure.axes[0].get_yticklabels()[1]
    assert label.get_text() == token
    assert not label.get_parse_math()


@pytest.mark.parametrize(("layers", "heads"), SIZES)
@pytest.mark.parametrize("tokens", TEXTS.values(), ids=TEXTS)
def test_nothing_is_cut_off_and_no_labels_overlap(tokens, layers, heads):
    figure = make_figure(tokens, layers, heads)
    figure.draw(np.zeros((layers, heads, len(tokens), len(tokens))))
    page = figure.figure.bbox
    texts = [text for text in figure.figure.findobj(matplotlib.text.Text) if is_shown(text)]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for text, box in boxes:
        assert page.x0 <= box.x0, text
        assert page.y0 <= box.y0, text
        assert box.x1 <= page.x1, text
        assert box.y1 <= page.y1, text
    for number, (text, box) in enumerate(boxes):
        for other_text, other in boxes[:number]:
            assert not box.overlaps(other), (text, other_text)


def is_shown(text):
    inside = [text.get_visible(), bool(text.get_text())]
    if text.axes is not None:
        axis_labels = [
            label
            for axis in (text.axes.xaxis, text.axes.yaxis)
            for tick in axis.get_major_ticks()
            for label in (tick.label1, tick.label2)
        ]
        if text in axis_labels:
            shown = [*text.axes.get_xticklabels(), *text.axes.get_yticklabels()]
            inside.append(text in shown)
    return all(inside)


@pytest.mark.parametrize("dpi", ["figure", 200])
def test_the_figure_can_be_saved_between_two_pictures(dpi):
    figure = make_figure(TEXTS["toy"], 1, 2)
    scores = random_scores(1, 2, 3, seed=0)
    picture = figure.draw(scores)
    file = io.BytesIO()
    figure.figure.savefig(file, dpi=dpi)
    np.testing.assert_array_equal(figure.draw(scores), picture)
    saved = np.asarray(Image.open(file))[..., :3]
    scale = saved.shape[0] / picture.shape[0]
    assert scale == (1 if dpi == "figure" else 2)


@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (2, 2, 3, 3), (1, 2, 4, 4)])
def test_scores_of_another_shape_are_an_error(shape):
    figure = make_figure(TEXTS["toy"], 1, 2)
    with pytest.raises(ValueError, match="scores"):
        figure.draw(np.zeros(shape))
