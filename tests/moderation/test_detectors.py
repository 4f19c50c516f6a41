"""Each detector: what it finds, to the character, and what it leaves alone."""

from __future__ import annotations

import pytest

from server.moderation.detectors import DETECTORS
from server.moderation.patterns import PatternMatcher

# In « » stands what is to be found.
FOUND = {
    "email": [
        "write to «ann.lee+news@example.co.uk», please",
        "邮箱：«wang@example.com»。",
        "联系«zhang_wei@mail.example.cn»谢谢",
        "<«O'Brien@example.ie»>",
        "«a@b.io»,«c@d.io»",
    ],
    "phone": [
        "call «+1 (415) 555-2671» now",
        "«+4915112345678»",
        "tel «+44 (0)20 7946 0958»",
        "«0033 6 12 34 56 78»",
        "call «415-555-2671» or «(415) 555-2671»",
        "电话«13812345678»，或«138 1234 5678»",
        "座机«010-12345678»",
        "ring «020 7946 0958» or «07700900123»",
        "«030/12345678»",
        "appelez le «06 12 34 56 78»",
        "«090-1234-5678»まで",
    ],
    "credit_card": [
        "card «4111 1111 1111 1111» ok",
        "«4111-1111-1111-1111»",
        "«4111111111111111» 12/29",
        "«4222222222222»",
        "«378282246310005» and «3782 822463 10005»",
        "«3056 930902 5904»",
        "卡号«5555555555554444»。",
        "«6212345678900000003»",
    ],
    "iban": [
        "«DE89 3704 0044 0532 0130 00» is mine",
        "«GB29NWBK60161331926819»",
        "«no93 8601 1117 947»",
        "账户«FR14 2004 1010 0505 0001 3M02 606»。",
        "«MT84MALT011000012345MTLCAST001S»",
    ],
    "cn_resident_id": ["身份证«11010519491231002X»号", "«11010519491231002x»", "id «440308199901010012»"],
    "us_ssn": ["ssn «536-90-4399».", "«536 90 4399»"],
    "uk_nino": ["NI «AB123456C»", "«AB 12 34 56 C»", "«jg121316a»"],
    "fr_nir": ["NIR «1 84 12 76 451 089 46»", "«184127645108946»", "«2 69 05 2A 588 157 17»"],
    "ip_address": [
        "from «203.0.113.7», port 80",
        "[«2001:db8::8a2e:370:7334»]:443",
        "«2001:0db8:85a3:0000:0000:8a2e:0370:7334»",
        "主机«10.0.0.12»上",
    ],
    "mac_address": ["«00:1A:2b:3c:4D:5e»", "«00-1a-2b-3c-4d-5e»"],
    "url": [
        "see «https://example.com/a?b=c#d».",
        "(«http://user:pw@example.org:8080/»)",
        "详见«https://example.com/x»。",
        "«ftp://files.example.net»，下载",
    ],
    "date_of_birth": [
        "«date of birth: 1990-02-28»",
        "She was «born on May 4th, 1988» in Rome",
        "«DOB 02/29/2000»",
        "«Geboren am 4.5.1977»",
        "«né le 14/07/1989»",
        "«出生日期：1990年2月28日»",
        "«生年月日 1975/12/03»",
    ],
}

NOT_FOUND = {
    "email": ["icon@2x.png", "@user", "a@b", "..@example.com", "user@localhost", "x@.com", "5 @ 3"],
    "phone": [
        "order 4155552671",
        "2024-01-15",
        "01-02-2024",
        "v1.415.555",
        "price 1.299.000",
        "sha 3f786850e387550fdab836ed7e6dc881de23001b",
        "+1 555",
        "+1 23 456",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "000123456789",
        "1234567",
        "DE89 3704 0044 0532 0130 00",
        "GB82 WEST 1234 5698 7654 32, BE71 0961 2345 6769, 0532 0130 0044",
        "23812345678",
        "113812345678",
        "115-555-2671",
    ],
    "credit_card": [
        "4111 1111 1111 1112",
        "1234567812345678",
        "order 20240115123456",
        "4111  1111  1111  1111",
        "x4111111111111111",
        "41111111111111111111",
        "5555555555554",
        "9999 9999 9999 9999",
    ],
    "iban": ["DE89 3704 0044 0532 0130 01", "DE8937040044053201300", "ZZ89370400440532013000", "in 12 3456"],
    "cn_resident_id": ["110105194912310021", "110105194913310029", "99010519491231002X", "1101051949123100", "2" * 18],
    "us_ssn": ["000-12-3456", "666-12-3456", "900-12-3456", "536-00-4399", "536-90-0000", "078-05-1120", "536904399"],
    "uk_nino": ["QQ123456C", "GB123456A", "AB123456E", "AB1234567C", "XAB123456C"],
    "fr_nir": ["1 84 12 76 451 089 47", "1 84 13 76 451 089 46", "1841276451089"],
    "ip_address": [
        "v1.2.3", "256.1.1.1", "127.0.0.1", "std::vector", "face::add", "12:30:45", "::1", "0.0.0.0", "a[1::4]",
        "10::2", "version 1.2.3.4", "v4.0.1.0", "12:30::45",
    ],
    "mac_address": ["00:1A:2b:3c:4D", "00:1A-2b:3c:4D:5e", "12:30:45"],
    "url": ["example.com", "http://", "mailto:x", "xhttp://example.com"],
    "date_of_birth": ["1990-02-28", "born 1990-02-30", "born on 5 apples", "reborn 1990-02-28", "born on 12/12/1201"],
}  # fmt: skip

CASES = [(name, text) for name, texts in FOUND.items() for text in texts]
OTHERS = [(name, text) for name, texts in NOT_FOUND.items() for text in texts]


def spans(name: str, text: str) -> list[tuple[int, int]]:
    return [(found.start, found.end) for found in PatternMatcher([DETECTORS[name]]).scan(text)]


@pytest.mark.parametrize(("name", "marked"), CASES)
def test_found_to_the_character(name: str, marked: str) -> None:
    expected: list[tuple[int, int]] = []
    plain = ""
    for number, part in enumerate(part for left in marked.split("«") for part in left.split("»")):
        if number % 2:
            expected.append((len(plain), len(plain) + len(part)))
        plain += part
    assert expected
    assert spans(name, plain) == expected


@pytest.mark.parametrize(("name", "text"), OTHERS)
def test_left_alone(name: str, text: str) -> None:
    assert spans(name, text) == []


def test_every_detector_is_in_both_tables() -> None:
    assert set(FOUND) == set(NOT_FOUND) == set(DETECTORS)


def test_all_of_them_together_in_a_stream() -> None:
    matcher = PatternMatcher(list(DETECTORS.values()))
    text = "。".join(one.replace("«", "").replace("»", "") for _, one in CASES)
    whole = matcher.scan(text)
    assert {list(DETECTORS)[found.pattern] for found in whole} == set(DETECTORS)
    for size in (1, 5, 64):
        stream = matcher.stream()
        told = [found for at in range(0, len(text), size) for found in stream.feed(text[at : at + size])]
        assert told + stream.finish() == whole


@pytest.mark.parametrize(
    "text",
    [
        "Release 2.14.3 of 2024-01-15 fixes issue #10482 in 3 files, see 9fceb02d0ae598e95dc970b74767f19372d61af8.",
        "Order 100245781 costs 1,299.00 EUR; part A-2231-77, batch 20240115-0042, 12:30:45, ISBN 978-3-16-148410-0.",
        "发布版本 3.2.1，订单号 202401151234567，价格 1299 元，时间 2024-01-15 12:30。",
        "for (int i = 0; i < 1024; ++i) std::cout << a[i] * 3.14159265358979 << '\\n';",
        "uuid 123e4567-e89b-12d3-a456-426614174000, md5 d41d8cd98f00b204e9800998ecf8427e, port 8080, 100%.",
    ],
)
def test_ordinary_numbers(text: str) -> None:
    assert PatternMatcher(list(DETECTORS.values())).scan(text) == []
