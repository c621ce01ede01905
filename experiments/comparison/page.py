"""report.html: a study as one page that opens offline, with pictures that answer to the mouse."""

import html
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from experiments.comparison import findings
from experiments.comparison.pictures import (
    BETTER,
    UNSURE,
    WORSE,
    baseline_lines,
    loss_range,
    mean_curve,
    styles,
)
from experiments.comparison.results import Results, mean_of, notes, shown

PAGE = "report.html"
_LOSS = "loss, nats a token"
_CONFIG = {"displaylogo": False, "responsive": True}
_DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_MARKERS = {
    **{"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down"},
    **{"P": "cross", "X": "x", "*": "star", "<": "triangle-left", ">": "triangle-right"},
    **{"p": "pentagon", "h": "hexagon", "d": "diamond-tall"},
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; text-align: right; border-bottom: 1px solid #ddd;
         white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.reference { background: #f2f2f2; }
.better { color: #0072B2; font-weight: 600; } .worse { color: #D55E00; font-weight: 600; }
.wide { overflow-x: auto; }
pre { background: #f6f6f6; padding: 0.8rem; white-space: pre-wrap; }
"""


def write(results: Results, folder: Path) -> None:
    """Writes report.html into a folder."""
    texts = html.escape
    figures = []
    if shown(results):
        figures = [draw_curves(results), draw_costs(results, "parameters")]
        figures.append(draw_costs(results, "seconds"))
        if results.comparison is not None and results.comparison.differences:
            figures.insert(0, draw_differences(results))
    parts = [  # the library, once
        plotly.io.to_html(figure, include_plotlyjs=number == 0, full_html=False, config=_CONFIG)
        for number, figure in enumerate(figures)
    ]
    content = [
        f"<h1>{texts(results.study.folder.name)}</h1>",
        *[f"<p>{texts(sentence)}</p>" for sentence in findings.sentences(results)],
        _table(results),
        "<ul>",
        *[f"<li>{texts(note)}</li>" for note in notes(results)],
        "</ul>",
        *parts,
        _baselines(results),
        "<h2>How it was made</h2>",
        f"<pre>{texts(findings.command(results))}</pre>",
        *[f"<p>{texts(sentence)}</p>" for sentence in findings.method(results)],
    ]
    head = f'<meta charset="utf-8"><title>{texts(results.study.folder.name)}</title>'
    page = f"<!doctype html>\n<html><head>{head}<style>{_STYLE}</style></head><body>\n"
    page += "\n".join(content) + "\n</body></html>\n"
    (folder / PAGE).write_text(page, encoding="utf-8")


def draw_curves(results: Results) -> go.Figure:
    """Loss against steps; a click on a name hides a variant."""
    figure = _new("Loss against steps: mean and range over the seeds", "steps", _LOSS)
    style = styles(results)
    for name, row in shown(results).items():
        steps, mean, low, high = mean_curve(row)
        look = style[name]
        band = {"legendgroup": name, "showlegend": False, "hoverinfo": "skip", "mode": "lines"}
        nothing = {"width": 0}
        figure.add_scatter(x=steps, y=high, line=nothing, **band)
        figure.add_scatter(
            x=steps, y=low, line=nothing, fill="tonexty", fillcolor=_pale(look["color"]), **band
        )
        line = {"color": look["color"], "dash": _DASHES.get(look["linestyle"], "longdash")}
        hover = f"{name}<br>step %{{x:,}}<br>loss %{{y:.4f}}<extra></extra>"
        figure.add_scatter(
            x=steps, y=mean, name=name, legendgroup=name, line=line, hovertemplate=hover,
            mode="lines+markers", marker={"symbol": _MARKERS[look["marker"]], "size": 6},
        )  # fmt: skip
    for name, loss in baseline_lines(results):
        figure.add_hline(loss, line_width=1, line_dash="dot", annotation_text=name)
    figure.update_yaxes(range=loss_range(results))
    return figure


def draw_differences(results: Results) -> go.Figure:
    """The forest plot: differences to the reference with their intervals."""
    reference = results.study.reference
    figure = _new(
        f"Differences to {reference}, with 95 % intervals",
        "difference in loss, nats a token (left is better)",
        "",
    )
    names = [name for name in shown(results) if name in results.comparison.differences][::-1]
    for verdict, colour in (("better", BETTER), ("worse", WORSE), ("can't tell", UNSURE)):
        found = {name: results.comparison.differences[name] for name in names}
        chosen = {
            name: of for name, of in found.items() if of.verdict == verdict and of.mean is not None
        }
        if not chosen:
            continue
        ends = {
            "type": "data",
            "symmetric": False,
            "array": [(of.high or of.mean) - of.mean for of in chosen.values()],
            "arrayminus": [of.mean - (of.low or of.mean) for of in chosen.values()],
        }
        symbol = "circle-open" if verdict == "can't tell" else "circle"
        figure.add_scatter(
            x=[of.mean for of in chosen.values()],
            y=list(chosen),
            error_x=ends,
            mode="markers",
            name=verdict,
            marker={"color": colour, "size": 11, "symbol": symbol},
            hovertemplate="%{y}<br>%{x:+.4f}<extra></extra>",
        )
    figure.add_vline(0, line_width=1)
    figure.update_yaxes(categoryorder="array", categoryarray=names)
    figure.update_layout(height=160 + 36 * len(names))
    return figure


def draw_costs(results: Results, what: str) -> go.Figure:
    """Loss against "parameters" or against "seconds" of training."""
    titles = {"parameters": "parameters", "seconds": "seconds of training, evaluations left out"}
    figure = _new(f"Loss against {titles[what]}", titles[what], _LOSS)
    style = styles(results)
    for name, row in shown(results).items():
        runs = list(row.runs.values())
        values = [
            run.parameters if what == "parameters" else run.evaluations["seconds"][-1]
            for run in runs
        ]
        look = {"color": style[name]["color"], "symbol": _MARKERS[style[name]["marker"]]}
        hover = f"{name}<br>%{{x:,.0f}}<br>loss %{{y:.4f}}<extra></extra>"
        common = {"legendgroup": name, "mode": "markers", "hovertemplate": hover}
        figure.add_scatter(
            x=values, y=[run.loss for run in runs], showlegend=False,
            marker={**look, "size": 7, "opacity": 0.4}, **common,
        )  # fmt: skip
        mean = sum(values) / len(values)
        figure.add_scatter(
            x=[mean], y=[mean_of(row)], name=name, marker={**look, "size": 13}, **common
        )
    return figure


def _new(title, x, y):
    figure = go.Figure()
    figure.update_layout(
        title=title, xaxis_title=x, yaxis_title=y, template="simple_white", height=460,
        font={"size": 13}, legend={"title": "click to hide"}, margin={"t": 60, "b": 50},
    )  # fmt: skip
    return figure


def _table(results):
    head = "".join(f"<th>{html.escape(name)}</th>" for name in findings.COLUMNS)
    lines = [f'<div class="wide"><table><tr>{head}</tr>']
    verdict = list(findings.COLUMNS).index("verdict")
    for name, cells in findings.cells(results).items():
        kind = ' class="reference"' if name == results.study.reference else ""
        texts = [f"<td>{html.escape(cell)}</td>" for cell in cells]
        if cells[verdict] in ("better", "worse"):
            texts[verdict] = f'<td class="{cells[verdict]}">{cells[verdict]}</td>'
        lines.append(f"<tr{kind}>{''.join(texts)}</tr>")
    return "\n".join([*lines, "</table></div>"])


def _baselines(results):
    found = findings.baselines(results)
    if not found:
        return ""
    rows = "".join(f"<tr><td>{html.escape(n)}</td><td>{loss:.4f}</td></tr>" for n, loss in found)
    title = "On the same tokens, without a Transformer"
    return f"<h2>{title}</h2><table><tr><th>model</th><th>loss</th></tr>{rows}</table>"


def _pale(colour):
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
