"""Whether a candidate is what it looks like: check digits, ranges and calendars. All of them are pure.

They are given what their expression in `detectors.py` matched, so they check no shapes again.
"""

from __future__ import annotations

from datetime import date
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")  # twice the digit, its digits added up
_CARDS = (  # first digits from and to, lengths: ISO/IEC 7812 as its issuers use it
    ("2200", "2204", range(16, 20)),  # Mir
    ("2221", "2720", (16,)),  # Mastercard
    ("300", "305", range(14, 20)),  # Diners Club
    ("34", "34", (15,)),  # American Express
    ("3528", "3589", range(16, 20)),  # JCB
    ("36", "36", range(14, 20)),  # Diners Club
    ("37", "37", (15,)),  # American Express
    ("38", "39", range(14, 20)),  # Diners Club
    ("4", "4", (13, 16, 19)),  # Visa
    ("50", "50", range(13, 20)),  # Maestro
    ("51", "55", (16,)),  # Mastercard
    ("56", "58", range(13, 20)),  # Maestro
    ("60", "69", range(13, 20)),  # Discover, UnionPay, Maestro, RuPay
    ("81", "82", range(16, 20)),  # UnionPay, RuPay
)
IBAN_LENGTHS = {  # the IBAN registry of SWIFT, release 101
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_CN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
_CN_PROVINCES = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
        "83",
    ]
)
_SSN_NOBODYS = frozenset({"078051120", "219099999"})  # printed in advertisements
_NINO_NEVER = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})
_NATIONAL_LENGTHS = {"1": (10,), "33": (9,), "44": (9, 10), "49": range(6, 12), "81": (9, 10), "86": (10, 11)}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NOT_DOMAINS = frozenset(
    [
        "avif",
        "bmp",
        "css",
        "gif",
        "html",
        "ico",
        "jpeg",
        "jpg",
        "js",
        "json",
        "map",
        "md",
        "mp3",
        "mp4",
        "pdf",
        "png",
        "py",
        "svg",
        "ts",
        "txt",
        "webp",
    ]
)


def email(text: str) -> bool:
    """Not `icon@2x.png`, and no two dots in a row."""
    local, _, domain = text.partition("@")
    return ".." not in local and local[-1] != "." and domain.rpartition(".")[2].lower() not in _NOT_DOMAINS


def credit_card(text: str) -> bool:
    """A length and first digits that are in use, and Luhn's check digit (ISO/IEC 7812-1)."""
    digits = text.encode().translate(None, b" -")
    plain, doubled = sum(digits[-1::-2]), sum(digits[-2::-2].translate(_DOUBLED))
    if (plain + doubled - len(digits) * 0x30) % 10:
        return False
    number = digits.decode()
    return any(low <= number[: len(low)] <= high and len(number) in lengths for low, high, lengths in _CARDS)


def iban(text: str) -> bool:
    """1 modulo 97 (ISO 13616, ISO 7064)."""
    number = text.replace(" ", "").upper()
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1


def cn_resident_id(text: str) -> bool:
    """A province, a day of birth and the check character (GB 11643-1999)."""
    if text[:2] not in _CN_PROVINCES or not _is_day(text[6:10], text[10:12], text[12:14]):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_CN_WEIGHTS, text, strict=False))
    return "10X98765432"[total % 11] == text[17].upper()


def us_ssn(text: str) -> bool:
    """In no range that is never given out: area 000, 666, 900 to 999; group 00; serial 0000."""
    digits = _digits(text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return (
        area not in {"000", "666"}
        and area < "900"
        and group != "00"
        and serial != "0000"
        and (digits not in _SSN_NOBODYS)
    )


def uk_nino(text: str) -> bool:
    """Not with first letters that are never given out."""
    return text[:2].upper() not in _NINO_NEVER


def fr_nir(text: str) -> bool:
    """A month and the key: 97 less the number modulo 97, Corsica's 2A and 2B taken for 19 and 18."""
    number = text.replace(" ", "").upper().replace("2A", "19").replace("2B", "18")
    month = int(number[3:5])
    return (1 <= month <= 12 or 20 <= month <= 42 or month >= 50) and 97 - int(number[:13]) % 97 == int(number[13:])


def phone(text: str) -> bool:
    """7 to 15 digits after a plus, as many as the country has where that is one of the common ones; 10 or 11 else.

    Groups of an account number are none: 12 digits have a hyphen or a slash, and behind a country's code stands no 0.
    """
    digits = _digits(text)
    if not text.startswith(("+", "00")):
        return 10 <= len(digits) <= (12 if "-" in text or "/" in text else 11) and len(set(digits)) > 2
    digits = _digits(text.replace("(0)", "")).removeprefix("00")
    for code, lengths in _NATIONAL_LENGTHS.items():
        if digits.startswith(code):
            return len(digits) - len(code) in lengths and digits[len(code)] != "0"
    return 7 <= len(digits) <= 15


def ip_address(text: str) -> bool:
    """An address, and not the own machine's.

    One of version 6 has a digit (`face::add` is a name in a program) and a group of three or four (`1::4` is none). One
    of version 4 has more than four digits: fewer are a version, or 8.8.8.8, which is nobody's.
    """
    if not any(map(str.isdigit, text)):
        return False
    if max(map(len, text.split(":"))) < 3 if ":" in text else len(_digits(text)) < 5:
        return False
    try:
        address = IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return False
    return not address.is_loopback and not address.is_unspecified


def date_of_birth(text: str) -> bool:
    """A day between 1900 and 2099 stands at the end, in any of the usual orders, or with the name of its month."""
    lowered = text.lower()
    numbers = "".join(char if char in "0123456789" else " " for char in lowered).split()
    month = next((number for number, name in enumerate(_MONTHS, 1) if name in lowered), None)
    if month is not None and len(numbers) == 2:
        return _is_day(numbers[1], str(month), numbers[0])
    if len(numbers) != 3:
        return False
    if len(numbers[0]) == 4:
        return _is_day(*numbers)
    day, other, year = numbers
    return _is_day(year, other, day) or _is_day(year, day, other)


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        return 1900 <= date(int(year), int(month), int(day)).year <= 2099
    except ValueError:
        return False


def _digits(text: str) -> str:
    return "".join(char for char in text if char in "0123456789")
