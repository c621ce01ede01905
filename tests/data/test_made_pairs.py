"""Pairs that are made: what they are, that one answer is right, and that they stay as they are."""

import contextlib
import datetime
import hashlib
import io
import re
import string
import textwrap
from collections import Counter, defaultdict

import pytest

from data import date_names, made_pairs

SHA256 = {
    "reverse": "7855da264903add02bb8342209e62d70778a982a15f3a9a608d504ed62a60839",
    "dates": "7b507df585e93b94b5fc402c4a465f9058c67935d4eed330a24919d5a3efc4c3",
}
NUMBERS = {
    "year first": re.compile(r"(?P<year>\d{4})([-/.])(?P<month>\d\d)\2(?P<day>\d\d)"),
    "day first": re.compile(r"(?P<day>\d{1,2})([-/.])(?P<month>\d{1,2})\2(?P<year>\d{4})"),
    "month first": re.compile(r"(?P<month>\d{1,2})([-/.])(?P<day>\d{1,2})\2(?P<year>\d{4})"),
}
BETWEEN = {"st", "nd", "rd", "th", "of", "den", "er", "le", "de", "el", "º", "r"}


def pairs(name):
    """The lines of a text, each as a source and a target."""
    return [tuple(line.split("\t")) for line in getattr(made_pairs, name)().splitlines()]


def words_of(kind):
    """What each name of that kind may stand for, in any language: numbers from 0 on."""
    found = defaultdict(set)
    for names in date_names.date_names().values():
        for number, word in [*enumerate(names[kind]), *enumerate(names[f"short_{kind}"])]:
            found[word.lower().removesuffix(".")].add(number)
    return found


def dates_in_numbers(source):
    """Every date that numbers can stand for, whatever the order of day and month."""
    matches = [match for form in NUMBERS.values() if (match := form.fullmatch(source))]
    for match in matches:
        with contextlib.suppress(ValueError):  # no such day or month
            yield datetime.date(*(int(match[part]) for part in ("year", "month", "day")))


def date_in_words(source, months, weekdays):
    """The one date that words stand for in any language: a day and a year, a month at the end."""
    day, year = map(int, re.findall(r"\d+", source))
    words = re.findall(r"[^\W\d]+(?:-feira)?", source.lower())
    *weekday, month = (word for word in words if word not in BETWEEN)
    (number,) = months[month]
    date = datetime.date(year, number + 1, day)
    assert not weekday or date.weekday() in weekdays[" ".join(weekday)], source
    return date


@pytest.mark.parametrize("name", SHA256)
def test_pairs_are_the_same_for_ever(name):
    text = getattr(made_pairs, name)()
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", SHA256)
def test_no_source_comes_twice(name):
    sources = [source for source, _ in pairs(name)]
    assert len(set(sources)) == len(sources)


def test_words_of_all_lengths_are_reversed():
    rows = pairs("reverse")
    assert len(rows) == 10_000
    for source, target in rows:
        assert list(target) == list(reversed(source))
    lengths = Counter(len(source) for source, _ in rows)
    assert sorted(lengths) == list(range(4, 11))
    assert min(lengths.values()) > 1000
    assert {letter for source, _ in rows for letter in source} == set(string.ascii_lowercase)


def test_dates_are_many_and_stand_together():
    rows = pairs("dates")
    targets = [target for _, target in rows]
    assert len(rows) == 30_000
    assert max(len(source) for source, _ in rows) <= 40
    assert targets[::3] == targets[1::3] == targets[2::3]
    assert len(set(targets)) == 10_000
    days = [datetime.date.fromisoformat(target) for target in targets]
    assert {day.year for day in days} == set(range(1900, 2100))
    assert {(day.month, day.day) for day in days} >= {(2, 29), (12, 31), (1, 1)}


def test_a_date_in_words_is_read_alike_in_every_language():
    months, weekdays = words_of("month"), words_of("weekday")
    rows = [(source, target) for source, target in pairs("dates") if re.search("[a-z]", source)]
    assert len(rows) > 25_000
    for source, target in rows:
        assert date_in_words(source, months, weekdays).isoformat() == target, source


def test_a_date_in_numbers_has_one_reading_whatever_comes_first():
    rows = [(source, target) for source, target in pairs("dates") if not re.search("[a-z]", source)]
    assert len(rows) > 2500
    for source, target in rows:
        assert {date.isoformat() for date in dates_in_numbers(source)} == {target}, source


@pytest.mark.parametrize("form", NUMBERS)
def test_every_order_of_numbers_is_there(form):
    parts = [match for source, _ in pairs("dates") if (match := NUMBERS[form].fullmatch(source))]
    certain = [match for match in parts if int(match["day"]) > 12]
    assert len(certain) > 300


@pytest.mark.parametrize("language", made_pairs.WORD_FORMS)
def test_every_month_and_weekday_of_a_language_is_there(language):
    text = made_pairs.dates()
    for words in date_names.date_names()[language].values():
        for word in words:
            assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text), word


def test_the_names_of_dates_are_those_of_babel():
    pytest.importorskip("babel", reason="the names are compared with those of the package babel")
    lines = date_names.__doc__.splitlines()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(textwrap.dedent("\n".join(line for line in lines if line.startswith("    "))), {})
    assert printed.getvalue() == date_names.TABLE
