"""`generate.py`: what it prints and writes, where it reads its prompts, and refusals."""

import os
import pty
import subprocess
import sys

import keras
import pytest

import generate
from data.tokenizer import CharTokenizer
from experiments import texts
from experiments.cli import UsageError
from models import DecoderLanguageModel
from tests.conftest import PROJECT, run_script

SCRIPT = [sys.executable, "generate.py"]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return DecoderLanguageModel(CharTokenizer("\n abcdefgh"), context_length=8, num_layers=1)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "best.keras"
    model.save(path)
    return path


def test_it_prints_and_writes_what_the_model_generates(model, path, tmp_path):
    flags = ["--temperature", 0.7, "--top-k", 5, "--top-p", 0.9, "--seed", 3]
    output = tmp_path / "texts.txt"
    arguments = ["--max_new_tokens", 30, "abc", *flags, "--output", output]
    result = run_script("generate.py", path, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    (text,) = model.generate("abc", 30, temperature=0.7, top_k=5, top_p=0.9, seed=3)
    assert result.stdout == output.read_text() == text + "\n"


def test_several_prompts_and_samples_are_numbered(model, path, tmp_path, capsys):
    output = str(tmp_path / "texts.txt")
    arguments = ["a", "--max-new-tokens", "20", "bcdefg", "--num-samples", "2"]
    assert generate.main([str(path), *arguments, "--output", output]) == 0
    printed = capsys.readouterr().out
    texts = model.generate(["a", "a", "bcdefg", "bcdefg"], 20)
    assert len(set(texts)) == 4
    assert printed == "".join(
        f"--- {number} of 4 ---\n{text}\n" for number, text in enumerate(texts, 1)
    )
    assert (tmp_path / "texts.txt").read_text() == printed


def test_flags_and_prompts_come_in_any_order():
    parse = generate.make_parser().parse_intermixed_args
    flags = parse(["--seed", "1", "best.keras", "a", "--max_new_tokens=3", "b", "--", "--c_d"])
    assert (flags.model, flags.prompts) == ("best.keras", ["a", "b", "--c_d"])
    assert (flags.seed, flags.max_new_tokens) == (1, 3)


def test_greedy_takes_the_likeliest(model, path, capsys):
    assert generate.main([str(path), "abc", "--greedy", "--max-new-tokens", "10"]) == 0
    assert capsys.readouterr().out == model.generate("abc", 10, top_k=1)[0] + "\n"


def test_the_likeliest_texts_are_looked_for_with_beams(model, path, capsys):
    flags = ["--beams", "3", "--num-samples", "2", "--max-new-tokens", "4"]
    assert generate.main([str(path), "abc", *flags, "--length-penalty", "1"]) == 0
    printed = capsys.readouterr()
    (found,) = model.beam_search("abc", 3, 4, num_best=2)
    assert printed.out == "".join(
        f"--- {number} of 2, log p {text.score:.2f} ---\n{text.text}\n"
        for number, text in enumerate(found, 1)
    )
    assert (
        printed.err == "generate.py: no text ends by itself, so --length-penalty changes nothing\n"
    )


def test_the_text_is_printed_as_it_comes(model, capsys):
    seen = []

    class Slow:
        tokenizer = model.tokenizer

        def stream(self, prompts):
            for piece in ("d", "e"):
                seen.append(capsys.readouterr().out)
                yield [piece, "x"]

    texts.print_texts(Slow(), ["ab"], num_samples=2, sampling={})
    assert seen == ["", "--- 1 of 2 ---\nabd"]
    assert capsys.readouterr().out == "e\n--- 2 of 2 ---\nabxx\n"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_without_a_prompt_it_is_read_from_standard_input(end, path, monkeypatch, tmp_path, capsys):
    (tmp_path / "prompt.txt").write_bytes(f"a\n bc{end}".encode())
    with (tmp_path / "prompt.txt").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert generate.main([str(path), "--max-new-tokens", "5", "--greedy"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("a\n bc")
    assert len(printed) == len("a\n bc") + 5 + 1


def test_a_prompt_of_spaces_is_one_to_a_model_of_characters(path, capsys):
    assert generate.main([str(path), "  ", "--max-new-tokens", "1"]) == 0
    assert len(capsys.readouterr().out) == 4


@pytest.mark.slow
def test_at_a_terminal_it_asks_until_control_d(model, path):
    terminal, its_end = pty.openpty()
    command = [*SCRIPT, str(path), "--max-new-tokens", "6", "--seed", "4"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=its_end, stdout=its_end, stderr=its_end
    ) as asked:
        os.close(its_end)
        os.write(terminal, b"abc\n")
        shown = read_until(terminal, "prompt> ", times=2)
        os.write(terminal, b"b!\n")
        shown += read_until(terminal, "prompt> ", times=1)
        os.write(terminal, b"abc\n")
        shown += read_until(terminal, "prompt> ", times=1)
        os.write(terminal, b"\x04")
        read_until(terminal, None, times=1)
    os.close(terminal)
    assert asked.returncode == 0
    lines = "".join(shown).replace("\r\n", "\n")
    for seed in (4, 6):
        assert model.generate("abc", 6, seed=seed)[0] + "\nprompt> " in lines
    assert "The prompt must hold only characters that the model knows. Received: '!'" in lines


def read_until(terminal, text, times):
    """What a terminal shows until a text has come a number of times, or until it closes."""
    shown = ""
    while text is None or shown.count(text) < times:
        try:
            shown += os.read(terminal, 1000).decode()
        except OSError:  # how Linux says that nobody is at the other end any more
            break
    assert text is None or shown.count(text) >= times, shown
    return shown


@pytest.mark.slow
def test_a_reader_that_has_had_enough_ends_it_in_silence(path):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [*SCRIPT, str(path), "abc"]
    try:
        result = subprocess.run(
            command, cwd=PROJECT, stdout=write_end, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write_end)
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: MODEL.keras"),
        (["no.keras", "a"], "no.keras: expected a saved .keras model, found nothing"),
        (["{damaged}", "a"], "damaged.keras: expected a .keras model, found a damaged or other"),
        (["{path}", "a", "--temperature", "0"], "--temperature: expected a number above 0, got 0"),
        (["{path}", "a", "--temperature", "-1"], "--temperature: expected a number above 0, got -"),
        (["{path}", "a", "--temperature", "inf"], "--temperature: expected a number above 0"),
        (["{path}", "a", "--top-p", "0"], "--top-p: expected a number above 0 and at most 1, got"),
        (["{path}", "a", "--top-p", "1.01"], "argument --top-p: expected a number above 0 and at"),
        (["{path}", "a", "--top-k", "0"], "argument --top-k: expected a whole number of at least"),
        (["{path}", "a", "--max-new-tokens", "0"], "argument --max-new-tokens: expected a whole"),
        (["{path}", "a", "--num-samples", "0"], "argument --num-samples: expected a whole number"),
        (["{path}", "a", "--seed", "-1"], "argument --seed: expected a whole number of at least 0"),
        (["{path}", ""], "argument PROMPT: expected a text, got ''"),
        (["{path}", "a", "\udcff"], "argument PROMPT: expected a text, got '\\udcff'"),
        (["{path}", "a", "--output", "no/x"], "--output: expected a file in a folder that exists"),
        (["{path}", "a", "--greedy", "--top-k", "3"], "--greedy: expected no --top-k beside it,"),
        (["{path}", "a", "--greedy", "--temperature", "1"], "expected no --temperature beside it"),
        (["{path}", "a", "--greedy", "--num-samples", "2"], "--greedy: expected one sample"),
        (["{path}", "a", "--beams", "0"], "argument --beams: expected a whole number of at least"),
        (["{path}", "a", "--beams", "2", "--top-k", "3"], "--beams: expected no --top-k beside it"),
        (["{path}", "a", "--beams", "2", "--num-samples", "3"], "expected at most --beams 2, got"),
        (["{path}", "a", "--length-penalty", "-1"], "--length-penalty: expected a number of at"),
    ],
)
def test_bad_arguments_are_refused_before_keras_comes(path, tmp_path, arguments, message):
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(path.read_bytes()[:-100])
    arguments = [argument.format(path=path, damaged=damaged) for argument in arguments]
    with pytest.raises(UsageError) as caught:
        generate.check_flags(generate.make_parser().parse_intermixed_args(arguments))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "prompt", "message"),
    [
        (["--top-p", "2"], "a", "argument --top-p: expected a number above 0 and at most 1, got 2"),
        (["abc xyz"], "", "argument PROMPT: The prompt must hold only characters that the model "),
        ([], "", "standard input: expected a prompt, got nothing"),
        ([], "\udcff", "standard input: expected a text in UTF-8"),
    ],
)
def test_bad_input_is_one_line_and_status_2(path, arguments, prompt, message):
    result = subprocess.run(
        [*SCRIPT, str(path), *arguments],
        cwd=PROJECT,
        input=prompt.encode(errors="surrogateescape"),
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, b"")
    (line,) = result.stderr.decode().splitlines()
    assert line.startswith(f"generate.py: error: {message}")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("i love zebras", "argument PROMPT: The prompt must hold only words .*: 'zebras' in 'i lo"),
        ("  ", "argument PROMPT: The prompt must hold at least one word"),
    ],
)
def test_words_that_the_model_never_saw_are_refused(toy_run, prompt, message):
    with pytest.raises(UsageError, match=message):
        generate.main([str(toy_run / "best.keras"), prompt])


def test_everybodys_first_model_continues_a_text(toy_run, capsys):
    assert generate.main([str(toy_run / "best.keras"), "I love", "--max-new-tokens", "3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("I love ")
    assert len(printed.split()) == 5


def test_a_file_that_cannot_be_written_is_refused(model, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"folder: expected a file to write \(Is a directory\)"):
        texts.print_texts(model, ["a"], 1, {"max_new_tokens": 1}, str(tmp_path / "folder"))
