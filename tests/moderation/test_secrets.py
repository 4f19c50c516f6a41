"""Secrets by their forms, and those that have to look random. All of them are made up; none was ever valid."""

from __future__ import annotations

import pytest

from server.auth.secrets import new_secret
from server.moderation.build import NAMED
from server.moderation.entropy import shannon
from server.moderation.patterns import PatternMatcher
from server.moderation.secrets import SECRETS

ALL = PatternMatcher(list(SECRETS.values()))
MIXED = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2g3H4i5J6k7L8m9N0o1P2q3R4s5T6u7V8w9X0"
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"
UPPER = "QZ7XW2LPV3KDMY5TQZ7XW2LPV3KDMY5TQZ7XW2LPV3KDMY5TQZ7XW2LPV3KDMY5T"

# Prefixes and bodies are put together here, so that no scanner takes this file for a leak.
FOUND = {
    "age_secret_key": "AGE-SECRET-KEY-1" + UPPER[:58],
    "anthropic_api_key": "sk-ant-api03-" + MIXED[:93],
    "aws_access_key_id": "AKIA" + UPPER[:16],
    "aws_secret_access_key": "aws_secret_access_key = '" + MIXED[:40],
    "azure_storage_key": "AccountKey=" + MIXED[:86] + "==",
    "databricks_token": "dapi" + HEX[:32],
    "digitalocean_token": "dop_v1_" + HEX[:64],
    "discord_bot_token": "M" + MIXED[:25] + "." + MIXED[:6] + "." + MIXED[:38],
    "docker_token": "dckr_pat_" + MIXED[:27],
    "doppler_token": "dp.pt." + MIXED[:43],
    "github_fine_grained_token": "github_pat_" + MIXED[:82],
    "github_token": "ghp_" + MIXED[:36],
    "gitlab_token": "glpat-" + MIXED[:20],
    "google_api_key": "AIza" + MIXED[:35],
    "google_oauth_secret": "GOCSPX-" + MIXED[:28],
    "google_oauth_token": "ya29." + MIXED[:60],
    "grafana_token": "glsa_" + MIXED[:32] + "_" + HEX[:8],
    "groq_api_key": "gsk_" + MIXED[:52],
    "hashicorp_vault_token": "hvs." + MIXED[:90],
    "hugging_face_token": "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0." + MIXED[:43],
    "linear_api_key": "lin_api_" + MIXED[:40],
    "mailchimp_api_key": HEX[:32] + "-us12",
    "mailgun_key": "key-" + HEX[:32],
    "named_secret": 'api_key: "' + MIXED[:24],
    "new_relic_key": "NRAK-" + MIXED[:27],
    "notion_token": "ntn_" + MIXED[:46],
    "npm_token": "npm_" + MIXED[:36],
    "openai_api_key": "sk-proj-" + MIXED[:80],
    "perplexity_api_key": "pplx-" + MIXED[:48],
    "portico_key": "sk-portico-" + MIXED[:55],
    "postman_api_key": "PMAK-" + HEX[:24] + "-" + HEX[:34],
    "private_key": "-----BEGIN RSA PRIVATE " + "KEY-----",
    "private_key_block": "-----BEGIN PRIVATE "
    + f"KEY-----\n{MIXED[:64]}\n{MIXED[:40]}==\n-----END PRIVATE "
    + "KEY-----",
    "private_key_end": f"{MIXED[:64]}\n{MIXED[:30]}=\n-----END PRIVATE " + "KEY-----",
    "pypi_token": "pypi-AgEIcHlwaS5vcmc" + MIXED[:60],
    "replicate_token": "r8_" + MIXED[:37],
    "sendgrid_api_key": "SG." + MIXED[:22] + "." + MIXED[:43],
    "sentry_token": "sntrys_" + MIXED[:90],
    "shopify_token": "shpat_" + HEX[:32],
    "slack_app_token": "xapp-1-A0123456789-1234567890123-" + HEX[:64],
    "slack_token": "xoxb-" + "123456789012-1234567890123-" + MIXED[:24],
    "slack_webhook": "hooks.slack.com/services/T00000000/B00000000/" + MIXED[:24],
    "square_token": "sq0atp-" + MIXED[:22],
    "stripe_key": "sk_live_" + MIXED[:24],
    "stripe_webhook_secret": "whsec_" + MIXED[:32],
    "telegram_bot_token": "123456789:AA" + MIXED[:33],
    "terraform_token": MIXED[:14] + ".atlasv1." + MIXED[:67],
    "twilio_key": "SK" + HEX[:32],
    "url_password": "postgres://admin:hunter22@",
    "xai_api_key": "xai-" + MIXED[:80],
}


@pytest.mark.parametrize("name", SECRETS)
def test_found(name: str) -> None:
    text = f"钥匙 {FOUND[name]} 。"
    found = [one for one in ALL.scan(text) if list(SECRETS)[one.pattern] == name]
    assert [text[one.start : one.end] for one in found] == [FOUND[name]]
    less = FOUND[name][12 if name == "private_key_block" else 0 : -12]
    assert not [one for one in ALL.scan(f"x{less}") if list(SECRETS)[one.pattern] == name]


def test_every_secret_in_a_stream() -> None:
    text = " ,\n".join(FOUND.values())
    stream = ALL.stream()
    told = [one for at in range(0, len(text), 5) for one in stream.feed(text[at : at + 5])]
    told += stream.finish()
    assert told == ALL.scan(text)
    assert {list(SECRETS)[one.pattern] for one in told} == set(SECRETS)


@pytest.mark.parametrize("kind", ["key", "admin"])
def test_keys_that_this_server_issues(kind: str) -> None:
    secret = new_secret("admin" if kind == "admin" else "key", b"k" * 32).secret
    found = ALL.scan(f"use {secret}.")
    assert [(one.start, one.end, list(SECRETS)[one.pattern]) for one in found] == [(4, 4 + len(secret), "portico_key")]


@pytest.mark.parametrize(
    "text",
    [
        "password: aaaaaaaaaaaaaaaaaaaaaaaa",
        "postgres://user:${DB_PASSWORD}@db/x, postgres://user:$PASS@db, redis://u:{{secret}}@h, mysql://u:%s%@h",
        "postgres://user:password@localhost, amqp://guest:changeme@mq, https://me:your-token@x.io, ftp://u:xxxx@h",
        "postgres://user:<password>@host, http://a:*****@b, http://a:REDACTED@b, http://a:db_pass@b, http://a:[pass]@b",
        "api_key = ${MY_VERY_LONG_API_KEY_NAME}, secret: {{my_secret_from_vault}}, token: <your-access-token-here>",
        "API_KEY=your-api-key-goes-here-1234567890, password=$DATABASE_PASSWORD_1",
        "token = 'your-token-here-your-token'",
        "task-force, ask-me-anything, sk-learn, risk-averse",
        "git 9fceb02d0ae598e95dc970b74767f19372d61af8, md5 d41d8cd98f00b204e9800998ecf8427e",
        "the secret of a good password is its length",
        "https://example.com/a:b@c",
        "-----BEGIN CERTIFICATE-----",
        "eyJhbGciOi.eyJzdWIiOi.signature",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
    ],
)
def test_left_alone(text: str) -> None:
    assert ALL.scan(text) == []


def test_entropy() -> None:
    assert shannon("") == 0
    assert shannon("aaaa") == 0
    assert shannon("abcd") == 2
    assert shannon("aabb") == 1


PEM = [
    ("RSA PRIVATE KEY", "", "\n"),
    ("OPENSSH PRIVATE KEY", "", "\n"),
    ("EC PRIVATE KEY", "", "\r\n"),
    ("PRIVATE KEY", "", "\\n"),  # as in a file of JSON
    ("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0F1E2D3C4B5A6978\n\n", "\n"),
    ("PGP PRIVATE KEY BLOCK", "Version: GnuPG v2\n\n", "\n"),
]


@pytest.mark.parametrize(("label", "armor", "end"), PEM)
@pytest.mark.parametrize("lines", [1, 3, 12, 25, 50])
def test_the_whole_of_a_private_key(label: str, armor: str, end: str, lines: int) -> None:
    """However it is cut, and of up to 4,096 bits."""
    body = end.join(MIXED[at % 30 :][:64] for at in range(lines))
    key = f"-----BEGIN {label}-----{end}{armor}{body}{end}-----END {label}-----"
    text = f"Here it is:\n{key}\nKeep it."
    matcher = PatternMatcher(NAMED["private_key"])
    found = matcher.scan(text)
    covered = {at for one in found for at in range(one.start, one.end)}
    assert "".join(char for at, char in enumerate(text) if at not in covered) == "Here it is:\n\nKeep it."
    stream = matcher.stream()
    told = [one for at in range(0, len(text), 7) for one in stream.feed(text[at : at + 7])]
    assert sorted(told + stream.finish()) == found


def test_a_header_that_is_only_quoted() -> None:
    quoted = "The file begins with -----BEGIN PRIVATE " + "KEY----- and ends with its END."
    assert len(PatternMatcher(NAMED["private_key"]).scan(quoted)) == 1
    assert PatternMatcher(NAMED["private_key_block"]).scan(quoted) == []
