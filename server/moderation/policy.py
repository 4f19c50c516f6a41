"""A policy file: what is looked for, where, and what is done about it. Checked in full when it is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from server.config.tree import Name, Seconds, Section

Action = Literal["block", "redact", "flag", "shadow"]
CUTS: frozenset[Action] = frozenset(("block", "redact"))
"""What changes or ends a text."""
Direction = Literal["input", "output"]
Channel = Literal["content", "reasoning", "tool_arguments"]
Encoding = Literal["base64", "hex", "url", "rot13"]

OPENAI_CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
"""In the order of OpenAI's moderation endpoint."""

MOST_LITERALS = 200_000
LONGEST_LITERAL = 256
LONGEST_REGEX = 2000

Category = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}(/[a-z][a-z0-9_-]{0,63})?$")]
Named = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}(/[A-Za-z][A-Za-z0-9_.-]{0,63})?$")]
"""A category by the name that a judge's written policy gives it: also H2.f, as OpenAI's guide writes them."""
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_LITERAL)]
Regex = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_REGEX)]
Several = BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)  # one need not stand in a list
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]

_WHAT = ("literals", "literals_file", "regex", "detectors", "gitleaks_file")


class Rule(Section):
    """One thing that is looked for: `literals`, `literals_file`, `regex`, `detectors` or `gitleaks_file`."""

    id: Name = Field(description="Unique in the policy; it appears in the audit log, metrics and explanations.")
    category: Category = Field(description="One of OpenAI's thirteen, or an own one such as business/confidential.")
    literals: tuple[Phrase, ...] = Field(default=(), max_length=MOST_LITERALS, description="Words and phrases.")
    literals_file: Path | None = Field(
        default=None, description="A file with a literal in each line; lines with # are comments."
    )
    regex: Annotated[tuple[Regex, ...], Several] = Field(
        default=(), max_length=1000, description="Regular expressions of bounded width."
    )
    detectors: tuple[Name, ...] = Field(default=(), description="Built-in detectors: email, credit_card, ...")
    gitleaks_file: Path | None = Field(default=None, description="A rule file in gitleaks' format (TOML).")
    words: bool = Field(
        default=True, description="Literals begin and end at word boundaries, in scripts that have them."
    )
    case_sensitive: bool = Field(default=False, description="For regular expressions.")
    directions: tuple[Direction, ...] = Field(default=get_args(Direction), min_length=1, description="Of the text.")
    channels: tuple[Channel, ...] = Field(default=get_args(Channel), min_length=1, description="Where in a message.")
    action: Action = Field(description="block: refuse or end; redact: replace; flag: tell; shadow: count only.")
    replacement: str = Field(default="[removed]", max_length=256, description="For redact.")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        given = [name for name in _WHAT if getattr(self, name)]
        if len(given) != 1:
            found = f"not {' and '.join(given)} together" if given else "and has none"
            raise ValueError(f"rule {self.id} needs one of {', '.join(_WHAT)}, {found}")
        return self


class JudgeUse(Section):
    """A classifier or judge that is asked about texts."""

    engine: Name = Field(description="An engine of the configuration.")
    adapter: Literal["safeguard", "qwen3guard", "llama_guard", "privacy_filter"] = Field(
        default="safeguard", description="How the model is asked and read."
    )
    model: str | None = Field(default=None, description="Its name there; the engine's first model if left out.")
    policy_text: Path | None = Field(default=None, description="safeguard: a file with the written policy.")
    when: Literal["escalate", "always"] = Field(
        default="always", description="escalate: only about texts in which something was flagged before."
    )
    directions: tuple[Direction, ...] = Field(default=get_args(Direction), min_length=1, description="Of the text.")
    action: Action = Field(default="block", description="What is done about a text it objects to.")
    replacement: str = Field(default="[removed]", max_length=256, description="For redact, which needs spans.")
    controversial: Literal["unsafe", "safe"] = Field(default="unsafe", description="qwen3guard: what that counts as.")
    categories: tuple[Named, ...] = Field(default=(), description="Of its categories, those that count; empty: all.")
    on_failure: Literal["closed", "open"] = Field(
        default="closed",
        description="closed: without a verdict the text is blocked; open: it passes, and that is told.",
    )
    timeout_s: Seconds = Field(default=5, description="Longest wait for a verdict.")
    max_concurrent: int = Field(default=16, ge=1, description="Questions at once; more wait.")

    @model_validator(mode="after")
    def _has_a_text(self) -> Self:
        if (self.adapter == "safeguard") != (self.policy_text is not None):
            raise ValueError("policy_text is what safeguard needs, and no other adapter takes one")
        return self


class Streaming(Section):
    """How classifiers and judges see streamed answers (`passage`). Rules hold back what could become a match."""

    mode: Literal["full", "chunked", "async"] = Field(
        default="full", description="full: hold all until the verdict; chunked: by windows; async: stop later."
    )
    window_chars: int = Field(default=400, ge=50, le=20_000, description="Of a window.")
    overlap_chars: int = Field(default=100, ge=0, le=10_000, description="Of it, what the window before had too.")

    @model_validator(mode="after")
    def _moves_on(self) -> Self:
        if self.overlap_chars >= self.window_chars:
            raise ValueError("overlap_chars must be less than window_chars")
        return self


class Decoding(Section):
    """Encodings that are looked into."""

    encodings: tuple[Encoding, ...] = Field(default=(), description="base64, hex, url, rot13.")
    depth: int = Field(default=1, ge=1, le=3, description="How often what was decoded is decoded again.")


class Excerpts(Section):
    chars: int = Field(default=200, ge=20, le=500, description="Of the text around a match, the match among them.")


class Audit(Section):
    """What else the log of decisions keeps."""

    excerpts: Excerpts | None = Field(
        default=None, description="Text around matches, encrypted by stores.encryption.key; none if left out."
    )


class PolicyFile(Section):
    name: Name = Field(description="By which keys, projects and requests name it.")
    version: int = Field(ge=1, description="Told in the audit log beside the hash of the content.")
    rules: tuple[Rule, ...] = Field(default=(), max_length=10_000, description="What is looked for.")
    judges: tuple[JudgeUse, ...] = Field(default=(), max_length=8, description="Models that are asked.")
    stream: Streaming = Field(default_factory=Streaming, description="How judges see streamed answers.")
    decode: Decoding = Field(default_factory=Decoding, description="Encodings that are looked into.")
    bidi_overrides: Literal["refuse", "allow"] = Field(
        default="refuse", description="Characters that show text in another order than it is read in."
    )
    audit: Audit = Field(default_factory=Audit, description="What else the log of decisions keeps.")
    message: dict[Language, str] = Field(
        default_factory=lambda: {"en": "This request was blocked by policy.", "zh": "该请求已被策略拦截。"},
        min_length=1,
        description="What a caller is told, by language.",
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                raise ValueError(f"two rules have the id {rule.id}")
            seen.add(rule.id)
        return self


class Policy:
    """A policy with the files it names, by their paths as they stand there. `hash` is that of all content."""

    def __init__(self, file: PolicyFile, own: bytes, content: Mapping[Path, bytes]) -> None:
        self.file = file
        self._content = content
        digest = hashlib.sha256(own)
        for path in sorted(content):
            digest.update(b"\0%b\0%b" % (str(path).encode(), content[path]))
        self.hash = digest.hexdigest()

    @property
    def name(self) -> str:
        return self.file.name

    def text(self, path: Path) -> str:
        """Of a file that it names."""
        return self._content[path].decode()

    def literals(self, rule: Rule) -> tuple[str, ...]:
        """Of a rule, wherever they stand."""
        if rule.literals_file is None:
            return rule.literals
        lines = [line.strip() for line in self.text(rule.literals_file).splitlines()]
        return tuple([line for line in lines if line and not line.startswith("#")])


def files_of(file: PolicyFile) -> list[Path]:
    """What else has to be read."""
    found = [path for rule in file.rules for path in (rule.literals_file, rule.gitleaks_file)]
    found += [judge.policy_text for judge in file.judges]
    return [path for path in dict.fromkeys(found) if path is not None]
