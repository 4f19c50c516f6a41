r"""Detectors that policies name: personal data that has a form, and where it has one, a check digit.

A form without a check digit or a word beside it that says what it is (an account number, a passport number) is no
detector here: it would find order numbers. All work on the text as it was written, with ASCII digits; full-width digits
are left to normalisation before. `\b` lets a number stand right beside Chinese or Japanese text, and not within
letters or digits.

What is known to be ambiguous: a version of four numbers, of which one has two digits, is an IPv4 address, a part number
in the form 415-555-2671 a phone number. Telephone numbers are found after `+` or `00`, and in the national forms below.
"""

from __future__ import annotations

from server.moderation import checks
from server.moderation.patterns import Pattern
from server.moderation.regex import parse

_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_DAY = "|".join((
    r"\d{4}[-/.年] ?\d{1,2}[-/.月] ?\d{1,2}\b日?",
    r"\d{1,2}[-/.] ?\d{1,2}[-/.] ?\d{4}\b",
    rf"{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b",
    rf"\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{_MONTH},? \d{{4}}\b",
))  # fmt: skip
_BORN = "|".join((
    r"\bborn(?: on)?",
    r"\bdate of birth",
    r"\bbirth ?da(?:y|te)",
    r"\bd\.?o\.?b\.?",
    r"\bgeboren(?: am)?",
    r"\bgeburtsdatum",
    r"\bnée? le",
    r"\bdate de naissance",
    "出生(?:日期|年月日|于)?|生日|生年月日",
))  # fmt: skip

_PHONE = "|".join((
    r"\+[1-9](?:[ ./()-]{0,2}\d){6,14}\b",
    r"\b00(?:3[349]|4[1349]|81|86|[1-9]\d{0,2}[ -])(?:[ ./()-]{0,2}\d){5,14}\b",
    r"(?:\b1[-. ])?(?:\([2-9]\d{2}\) ?|\b[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4}\b",  # US: 415-555-2671
    r"\b1[3-9]\d(?:\d{8}|[ -]\d{4}[ -]\d{4})\b",  # China, mobile: 13812345678
    r"\b0\d{2,3}-\d{7,8}\b",  # China, landline: 010-12345678
    r"\b0[1-9]\d{1,4} \d{3,4} ?\d{3,4}\b|\b07\d{9}\b",  # United Kingdom: 020 7946 0958
    r"\b0[1-9]\d{1,4}[ /-]\d{3,8}(?:-\d{1,5})?\b",  # Germany: 030/1234567
    r"\b0[1-9](?:[ .]\d{2}){4}\b|\b0[67]\d{8}\b",  # France: 06 12 34 56 78
    r"\b0\d{1,4}-\d{1,4}-\d{4}\b",  # Japan: 090-1234-5678
))  # fmt: skip

# In groups as on the card, 4-4-4-4, 4-4-4-4-3, 4-6-5 or 4-6-4, each apart by a space, a hyphen or nothing. Digits one
# by one with something between each are an evasion, which normalisation undoes.
_CARD = r"\b(?:[2-68]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,4}(?:[ -]?\d{1,3})?|3\d{3}[ -]\d{6}[ -]\d{4,5})\b"

# Each country has its length: a start has one candidate, whatever follows.
_IBAN = "|".join(
    rf"\b(?:{countries.replace(' ', '|')})\d{{2}}(?: ?[a-z0-9]){{{length - 4}}}\b"
    for length, countries in checks.IBAN_LENGTHS.items()
)

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_HEX = "[0-9a-f]{1,4}"
_IP = rf"\b(?:{_OCTET}(?:\.{_OCTET}){{3}}|(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{1,6}}(?::{_HEX}){{1,6}})\b"

_URL = r"\b(?:https?|ftp)://[a-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{0,480}[a-z0-9/_~=&#%+-]"

DETECTORS: dict[str, Pattern] = {
    "email": Pattern(
        parse(r"[a-z0-9_][a-z0-9._%+'-]{0,63}@(?:[a-z0-9][a-z0-9-]{0,62}\.){1,4}[a-z]{2,24}\b"), checks.email
    ),
    "phone": Pattern(parse(_PHONE), checks.phone),
    "credit_card": Pattern(parse(_CARD), checks.credit_card),
    "iban": Pattern(parse(_IBAN), checks.iban),
    "cn_resident_id": Pattern(
        parse(r"\b[1-8]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dx]\b"), checks.cn_resident_id
    ),
    "us_ssn": Pattern(parse(r"\b\d{3}(?:-\d{2}-| \d{2} )\d{4}\b"), checks.us_ssn),
    "uk_nino": Pattern(
        parse(r"\b[a-ceghj-prtw-z][a-ceghj-npr-tw-z](?: ?\d{2}){3} ?[a-d]\b"), checks.uk_nino
    ),
    "fr_nir": Pattern(
        parse(r"\b[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[ab]) ?\d{3} ?\d{3} ?\d{2}\b"), checks.fr_nir
    ),
    "ip_address": Pattern(parse(_IP), checks.ip_address),
    "mac_address": Pattern(parse(r"\b[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5})\b")),
    "url": Pattern(parse(_URL)),
    "date_of_birth": Pattern(parse(rf"(?:{_BORN})[ :：是为於于]{{0,3}}(?:{_DAY})"), checks.date_of_birth),
}  # fmt: skip
