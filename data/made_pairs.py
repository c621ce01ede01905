"""Pairs that are made and not read: small tasks of turning one text into another.

Each is one function without arguments that gives the same text for ever. What is random comes from
`random.Random(0).random()`, the one thing that Python promises to keep.

A line is a pair by itself: the source, a tab and the target, to be read as characters. No source
has two targets, so all of it can be learnt.
"""

import datetime
import functools
import random
import string

from data.date_names import date_names

REVERSE_LENGTHS, REVERSE_PAIRS = (4, 10), 10_000
DATES, DATE_FORMS = 10_000, 3
FIRST_DATE, LAST_DATE = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)

# How a date is written: in words, with the names of `date_names`, and in numbers.
WORD_FORMS = {
    "en": (
        "{month} {day}, {year}",
        "{month} {ordinal}, {year}",
        "{month} {ordinal} {year}",
        "{day} {month} {year}",
        "{ordinal} of {month} {year}",
        "{short_month} {day}, {year}",
        "{day} {short_month} {year}",
        "{weekday}, {month} {day}, {year}",
        "{weekday}, {day} {month} {year}",
        "{short_weekday}, {short_month} {day}, {year}",
    ),
    "de": (
        "{day}. {month} {year}",
        "{day}. {short_month} {year}",
        "{weekday}, {day}. {month} {year}",
        "{weekday}, den {day}. {month} {year}",
        "{short_weekday}, {day}. {short_month} {year}",
    ),
    "fr": (
        "{first} {month} {year}",
        "{first} {short_month} {year}",
        "le {first} {month} {year}",
        "{weekday} {first} {month} {year}",
        "le {weekday} {first} {month} {year}",
        "{short_weekday} {first} {short_month} {year}",
    ),
    "es": (
        "{day} de {month} de {year}",
        "{day} {short_month} {year}",
        "el {day} de {month} de {year}",
        "{weekday}, {day} de {month} de {year}",
        "{short_weekday}, {day} {short_month} {year}",
    ),
    "it": (
        "{first} {month} {year}",
        "{first} {short_month} {year}",
        "{weekday} {first} {month} {year}",
        "{short_weekday} {first} {short_month} {year}",
    ),
    "pt": (
        "{first} de {month} de {year}",
        "{first} de {short_month} de {year}",
        "{weekday}, {first} de {month} de {year}",
        "{short_weekday}, {first} de {short_month} de {year}",
    ),
    "nl": (
        "{day} {month} {year}",
        "{day} {short_month} {year}",
        "{weekday} {day} {month} {year}",
        "{short_weekday} {day} {short_month} {year}",
    ),
    "sv": (
        "{day} {month} {year}",
        "{day} {short_month} {year}",
        "den {day} {month} {year}",
        "{weekday} {day} {month} {year}",
        "{weekday} den {day} {month} {year}",
        "{short_weekday} {day} {short_month} {year}",
    ),
    "pl": (
        "{day} {month} {year}",
        "{day} {month} {year} r.",
        "{day} {short_month} {year}",
        "{weekday}, {day} {month} {year}",
        "{short_weekday}, {day} {short_month} {year}",
    ),
}
YEAR_FIRST_FORMS = (
    "{year}-{number:02}-{day:02}",
    "{year}/{number:02}/{day:02}",
    "{year}.{number:02}.{day:02}",
)
YEAR_LAST_FORMS = (
    "{day}/{number}/{year}",
    "{day:02}/{number:02}/{year}",
    "{number}/{day}/{year}",
    "{number:02}/{day:02}/{year}",
    "{day}.{number}.{year}",
    "{day:02}.{number:02}.{year}",
    "{day:02}-{number:02}-{year}",
)
FIRST_OF_MONTH = {"fr": "1er", "it": "1º", "pt": "1º"}


@functools.cache
def reverse() -> str:
    """Ten thousand words of four to ten random letters, each with its letters in reverse.

    No two words are alike. Where a letter of the target is found depends on how long the source
    is: a decoder must look at other places of it than its own.

    Example:

    >>> reverse().splitlines()[0]
    'tkgnkuhmp\\tpmhukngkt'
    """
    rng = random.Random(0)
    letters = string.ascii_lowercase
    least, most = REVERSE_LENGTHS
    words = {}  # the keys of a dict keep their order
    while len(words) < REVERSE_PAIRS:
        length = least + int(rng.random() * (most + 1 - least))
        words["".join(_one_of(rng, letters) for _ in range(length))] = None
    return _text((word, word[::-1]) for word in words)


@functools.cache
def dates() -> str:
    """Ten thousand dates from 1900 to 2099, each as people write it in three ways, and in ISO 8601.

    A way is one of nine languages, or numbers alone, and one of its forms; a third is in lower
    case. A weekday, where there is one, is the right one. Lines of one date stand together.

    Numbers that end in the year are read as day and month here and as month and day there. So
    they only come where one reading is possible, which is where the day is above 12 (25/3/2001 and
    3/25/2001), or both are the same (03.03.2001). Those that begin with the year have one reading
    everywhere: month and day.

    Example:

    >>> for line in dates().splitlines()[:3]:
    ...     print(line.split("\\t"))
    ['19. Nov. 2068', '2068-11-19']
    ['le 19 novembre 2068', '2068-11-19']
    ['19/11/2068', '2068-11-19']
    """
    rng = random.Random(0)
    names = date_names()
    days = (LAST_DATE - FIRST_DATE).days + 1
    drawn = {}  # the keys of a dict keep their order
    while len(drawn) < DATES:
        drawn[FIRST_DATE + datetime.timedelta(int(rng.random() * days))] = None
    pairs = []
    for date in drawn:
        sources = {}
        while len(sources) < DATE_FORMS:
            source = _written(rng, date, names)
            sources[source.lower() if rng.random() < 1 / 3 else source] = None
        pairs += [(source, date.isoformat()) for source in sources]
    return _text(pairs)


def _written(rng, date: datetime.date, names: dict) -> str:
    """A date in a random form of a random language, or in numbers alone."""
    way = _one_of(rng, [*WORD_FORMS, "numbers"])
    fields = {"year": date.year, "number": date.month, "day": date.day}
    if way == "numbers":
        has_one_reading = date.day > 12 or date.day == date.month
        forms = YEAR_FIRST_FORMS + (YEAR_LAST_FORMS if has_one_reading else ())
    else:
        forms = WORD_FORMS[way]
        fields["first"] = FIRST_OF_MONTH.get(way, 1) if date.day == 1 else date.day
        fields["ordinal"] = _ordinal(date.day)
        for kind, words in names[way].items():
            fields[kind] = words[date.weekday() if "weekday" in kind else date.month - 1]
    return _one_of(rng, forms).format(**fields)


def _ordinal(day: int) -> str:
    """A day of the month in English.

    >>> [_ordinal(day) for day in (1, 2, 3, 4, 11, 12, 13, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '22nd']
    """
    ending = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _one_of(rng, items):
    return items[int(rng.random() * len(items))]


def _text(pairs) -> str:
    return "".join(f"{source}\t{target}\n" for source, target in pairs)
