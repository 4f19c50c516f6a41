"""Secrets by the form that their issuers gave them: keys, tokens, private keys.

Most of them begin with letters that stand for the issuer, so a match needs no more than its form. The few that have no
such letters need a name beside them and must look random: Shannon's entropy of the value, in bits per character.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable

from server.moderation.entropy import Exceptions, Secret
from server.moderation.expressions import Expression
from server.moderation.patterns import Pattern
from server.moderation.regex import parse

_ALNUM = "[A-Za-z0-9]"
_WORDS = "[A-Za-z0-9_-]"
_NAMED = r"""["']?[ \t]{0,4}(?::|=|:=|=>)[ \t]{0,4}["']?"""  # between a name and its value

_FORMS: dict[str, str] = {
    "age_secret_key": r"\bAGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}\b",
    "anthropic_api_key": rf"\bsk-ant-[a-z]{{2,8}}\d{{2}}-{_WORDS}{{80,120}}",
    "aws_access_key_id": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "azure_storage_key": r"\bAccountKey=[A-Za-z0-9+/]{86}==",
    "databricks_token": r"\bdapi[0-9a-f]{32}(?:-\d)?\b",
    "digitalocean_token": r"\bdo[opr]_v1_[0-9a-f]{64}\b",
    "discord_bot_token": rf"\b[MNO]{_WORDS}{{23,27}}\.{_WORDS}{{6}}\.{_WORDS}{{27,40}}",
    "docker_token": rf"\bdckr_[po]at_{_WORDS}{{27,32}}",
    "doppler_token": rf"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?{_ALNUM}{{40,44}}\b",
    "github_fine_grained_token": r"\bgithub_pat_\w{82}\b",
    "github_token": rf"\bgh[pousr]_{_ALNUM}{{36,251}}\b",
    "gitlab_token": rf"\bgl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|oas|soat)-{_WORDS}{{20,64}}",
    "google_api_key": rf"\bAIza{_WORDS}{{35}}",
    "google_oauth_secret": rf"\bGOCSPX-{_WORDS}{{28}}",
    "google_oauth_token": rf"\bya29\.{_WORDS}{{30,250}}",
    "grafana_token": rf"\bgl(?:sa_{_ALNUM}{{32}}_[0-9a-f]{{8}}\b|c_[A-Za-z0-9+/]{{32,400}}={{0,2}})",
    "groq_api_key": rf"\bgsk_{_ALNUM}{{52}}\b",
    "hashicorp_vault_token": rf"\bhv[sbr]\.{_WORDS}{{24,200}}",
    "hugging_face_token": r"\b(?:hf|api_org)_[A-Za-z]{34}\b",
    "linear_api_key": rf"\blin_api_{_ALNUM}{{40}}\b",
    "mailchimp_api_key": r"\b[0-9a-f]{32}-us\d{1,2}\b",
    "mailgun_key": r"\bkey-[0-9a-f]{32}\b",
    "new_relic_key": rf"\bNR(?:AK|II|IQ|RA)-{_WORDS}{{27,32}}",
    "notion_token": rf"\bntn_{_ALNUM}{{40,50}}\b",
    "npm_token": rf"\bnpm_{_ALNUM}{{36}}\b",
    "openai_api_key": rf"\bsk-(?:(?:proj|svcacct|admin|None)-{_WORDS}{{20,200}}|{_ALNUM}{{32,64}}\b)",
    "perplexity_api_key": rf"\bpplx-{_ALNUM}{{48,56}}\b",
    "portico_key": rf"\bsk-portico-(?:admin-|dev-)?{_ALNUM}{{20,80}}\b",
    "postman_api_key": r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b",
    "pypi_token": rf"\bpypi-AgE{_WORDS}{{50,250}}",
    "replicate_token": rf"\br8_{_ALNUM}{{37}}\b",
    "sendgrid_api_key": rf"\bSG\.{_WORDS}{{16,32}}\.{_WORDS}{{32,64}}",
    "sentry_token": r"\bsntry[su]_[A-Za-z0-9+/_=]{40,250}",
    "shopify_token": r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b",
    "slack_token": r"\bxox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,180}",
    "slack_app_token": r"\bxapp-\d-[A-Z0-9]{8,16}-\d{8,16}-[0-9a-f]{60,70}\b",
    "slack_webhook": r"\bhooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,64}",
    "square_token": rf"\bsq0[a-z]{{3}}-{_WORDS}{{22,43}}",
    "stripe_key": rf"\b[rs]k_(?:live|test|prod)_{_ALNUM}{{10,120}}\b",
    "stripe_webhook_secret": r"\bwhsec_[A-Za-z0-9+/]{32,64}",
    "telegram_bot_token": rf"\b\d{{8,10}}:AA{_WORDS}{{33}}",
    "terraform_token": rf"\b{_ALNUM}{{14}}\.atlasv1\.{_WORDS}{{60,70}}",
    "twilio_key": r"\b(?:SK|AC)[0-9a-f]{32}\b",
    "xai_api_key": rf"\bxai-{_ALNUM}{{70,90}}\b",
}  # fmt: skip

_JWT = r"\beyJ[A-Za-z0-9_-]{10,300}\.eyJ[A-Za-z0-9_-]{10,900}\.[A-Za-z0-9_-]{10,700}"
_AWS = rf"(?i)\baws[a-z_ .-]{{0,20}}(?:secret|key){_WORDS}{{0,20}}{_NAMED}([A-Za-z0-9/+]{{40}})\b"
_NAMED_SECRET = (
    rf"(?i)(?:api_?-?key|secret_?-?(?:key)?|access_?-?(?:key|token)|auth_?-?token|passw(?:or)?d|bearer)"
    rf"{_NAMED}([a-z0-9_./+=~-]{{16,128}})"
)


_IN_URL = r"\b[a-z][a-z0-9+]{1,15}://[^\s:/?#@'\"<>]{1,64}:([^\s/?#@'\"<>]{3,100})@"
_PLACEHOLDER = Exceptions(
    expressions=(
        Expression(
            r"(?i)\A(?:[$%]?[({\[<]{1,2}.*|\$[a-z_]\w*|%\w*%?|[x*._•-]+"
            r"|(?:your|my|the|some|example|sample|dummy|fake)[_-].*"
            r"|(?:(?:db|user|api|auth|access|secret)[_-]?)?(?:pass(?:word|wd|phrase)?|pwd|secret|token|key)(?:[_-]?here)?"
            r"|change[_-]?(?:me|this|it).?|replace[_-]?(?:me|this).?|redacted|removed|hidden|todo)\z"
        ),
    )
)
"""What stands in manuals where a secret would: `${VAR}`, `<password>`, `xxxx`, `your-token`, `changeme`."""

# A private key as OpenSSL, OpenSSH and OpenPGP write it; its lines may be ended by an escape, as in JSON. A stream
# holds no more at once than the first 1,700 characters and the last 1,800: up to RSA with 4,096 bits these are all.
_LABEL = r"(?:[A-Z0-9]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_LINE_END = r"(?:\r?\n|\\r\\n|\\n)"
_ARMOR = rf"(?:[A-Za-z-]{{3,20}}: [^\r\n\\]{{1,60}}{_LINE_END}){{0,2}}"
_BODY = r"[\s\\nr]{0,4}[A-Za-z0-9+/=]{16,76}[A-Za-z0-9+/=\s\\]{0,830}[A-Za-z0-9+/=\s\\]{0,830}"
_LINE = rf"(?:[A-Za-z0-9+/]{{60,70}}{_LINE_END})"
_SHORT = rf"(?:[A-Za-z0-9+/=]{{1,70}}{_LINE_END}){{0,2}}"
_KEYS: dict[str, str] = {
    "private_key": rf"-----BEGIN {_LABEL}(?:{_LINE_END}{_ARMOR}{_BODY}(?:-----END {_LABEL})?)?",
    "private_key_end": rf"{_LINE}{{1,14}}{_LINE}{{0,10}}{_SHORT}-----END {_LABEL}",
}


def has_body(text: str) -> bool:
    """Of a private key, more than the header, which may only be quoted."""
    return "\n" in text or "\\n" in text


def jwt(text: str) -> bool:
    """Its header is JSON that names an algorithm (RFC 7515)."""
    header = text.partition(".")[0]
    try:
        decoded = urlsafe_b64decode(header + "=" * (-len(header) % 4))
    except ValueError:
        return False
    return decoded.startswith(b"{") and b'"alg"' in decoded


def _form(source: str, validator: Callable[[str], bool] | None = None) -> Pattern:
    return Pattern(parse(source, ignore_case=False), validator)


def _value(source: str, entropy: float) -> Pattern:
    """A form whose first group is a value that must look random."""
    regex = parse(source, ignore_case=False)
    return Pattern(regex, Secret(regex.source, group=1, entropy=entropy, exceptions=(_PLACEHOLDER,)))


SECRETS: dict[str, Pattern] = {
    **{name: _form(source) for name, source in (_FORMS | _KEYS).items()},
    "private_key_block": _form(_KEYS["private_key"], has_body),
    "url_password": _value(_IN_URL, 0),
    "jwt": _form(_JWT, jwt),
    "aws_secret_access_key": _value(_AWS, 4.0),
    "named_secret": _value(_NAMED_SECRET, 3.5),
}
