"""What months and weekdays are called in nine languages, as it stands in a date.

From Unicode's CLDR (https://cldr.unicode.org), copyright Unicode, Inc., under the Unicode License
(https://www.unicode.org/license.txt). The table is what this printed once, with Babel 2.18:

    from babel.dates import get_day_names, get_month_names

    for language in ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl"):
        print(language)
        for names in (get_month_names, get_day_names):
            for width in ("wide", "abbreviated"):
                print(*dict(sorted(names(width, locale=language).items())).values())
"""

KINDS = ("month", "short_month", "weekday", "short_weekday")
TABLE = """\
en
January February March April May June July August September October November December
Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec
Monday Tuesday Wednesday Thursday Friday Saturday Sunday
Mon Tue Wed Thu Fri Sat Sun
de
Januar Februar März April Mai Juni Juli August September Oktober November Dezember
Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.
Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag
Mo. Di. Mi. Do. Fr. Sa. So.
fr
janvier février mars avril mai juin juillet août septembre octobre novembre décembre
janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.
lundi mardi mercredi jeudi vendredi samedi dimanche
lun. mar. mer. jeu. ven. sam. dim.
es
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
ene feb mar abr may jun jul ago sept oct nov dic
lunes martes miércoles jueves viernes sábado domingo
lun mar mié jue vie sáb dom
it
gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
gen feb mar apr mag giu lug ago set ott nov dic
lunedì martedì mercoledì giovedì venerdì sabato domenica
lun mar mer gio ven sab dom
pt
janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro
jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez.
segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo
seg. ter. qua. qui. sex. sáb. dom.
nl
januari februari maart april mei juni juli augustus september oktober november december
jan feb mrt apr mei jun jul aug sep okt nov dec
maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
ma di wo do vr za zo
sv
januari februari mars april maj juni juli augusti september oktober november december
jan. feb. mars apr. maj juni juli aug. sep. okt. nov. dec.
måndag tisdag onsdag torsdag fredag lördag söndag
mån tis ons tors fre lör sön
pl
stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia
sty lut mar kwi maj cze lip sie wrz paź lis gru
poniedziałek wtorek środa czwartek piątek sobota niedziela
pon. wt. śr. czw. pt. sob. niedz.
"""


def date_names() -> dict[str, dict[str, list[str]]]:
    """The table by language and kind: the months from January on, the weekdays from Monday on.

    Example:

    >>> names = date_names()
    >>> names["fr"]["month"][2], names["de"]["short_weekday"][5]
    ('mars', 'Sa.')
    """
    lines = TABLE.splitlines()
    size = 1 + len(KINDS)
    return {
        lines[first]: dict(zip(KINDS, map(str.split, lines[first + 1 : first + size]), strict=True))
        for first in range(0, len(lines), size)
    }
