"""The configuration: what may be said, where, and the one line that says what is wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from server import cli
from server.commands.config import without_secrets
from server.config import Config, ConfigError, EngineMake, files, home, is_loopback, load, tracing

GOOD = "engines: {e: {url: 'http://127.0.0.1:1/v1'}}\nmodels: {m: {engines: [e]}}\n"
SECRET = "hunter2-canary"


def read(tmp_path: Path, text: str = GOOD, environ: dict[str, str] | None = None, **overrides: Any) -> Config:
    file = tmp_path / "portico.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ or {}, {name.replace("__", "."): value for name, value in overrides.items()})


def refusal(tmp_path: Path, text: str = GOOD, environ: dict[str, str] | None = None, **overrides: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, environ, **overrides)
    line = str(caught.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


def test_defaults_of_the_contract(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert (config.server.host, config.server.port, config.server.workers) == ("127.0.0.1", 8000, 1)
    assert (config.server.max_body_bytes, config.server.shutdown_grace_s) == (10_485_760, 30)
    assert (config.server.first_event_grace_s, config.metrics.port) == (5, 9464)
    assert (config.admission.max_queue, config.admission.max_wait_s) == (1024, 30)
    assert (config.auth.mode, config.engines["e"].max_in_flight) == ("keys", 64)
    assert config.models["m"].context_length == 131_072


def test_the_shipped_file_is_good() -> None:
    assert load(None, {}).engines


def test_environment_over_file_and_command_line_over_both(tmp_path: Path) -> None:
    text = GOOD + "server: {port: 1000, workers: 2, host: 127.0.0.2}\n"
    environ = {"PORTICO__SERVER__PORT": "2000", "PORTICO__SERVER__HOST": "127.0.0.3", "OTHER": "x"}
    config = read(tmp_path, text, environ, server__port=3000)
    assert (config.server.port, config.server.host, config.server.workers) == (3000, "127.0.0.3", 2)


def test_whole_sections_in_the_environment(tmp_path: Path) -> None:
    environ = {
        "PORTICO__ENGINES__FAR__URL": "https://far.example/v1",
        "PORTICO__MODELS": "{big: {engines: [far, e], aliases: [gpt-4o]}}",
        "PORTICO__SERVER__CORS_ORIGINS": "['*']",
    }
    config = read(tmp_path, GOOD, environ)
    assert set(config.engines) == {"e", "far"}
    assert config.models["big"].aliases == ("gpt-4o",)
    assert config.server.cors_origins == ("*",)


def test_a_key_from_the_environment(tmp_path: Path) -> None:
    key = "sk-0123456789abcdef"
    config = read(tmp_path, GOOD, {"PORTICO_API_KEY": key})
    assert config.auth.static_keys[-1].key_sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert key not in repr(config)
    assert "16 characters" in refusal(tmp_path, GOOD, {"PORTICO_API_KEY": "short"})
    spaced = read(tmp_path, GOOD, {"PORTICO_API_KEY": f" {key}\r\n"})  # as from a file with Windows line ends
    assert spaced.auth == config.auth


def held(tmp_path: Path, text: str | bytes) -> str:
    """The path of a file with this text."""
    file = tmp_path / "secret"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


def test_any_value_from_a_file(tmp_path: Path) -> None:
    for name, text, found in (
        ("STORES__DURABLE", "postgresql://u:p@h/n\n", lambda config: config.stores.durable),
        ("ENGINES__E__API_KEY", "  # no: {comment, or YAML\r\n", lambda config: config.engines["e"].api_key),
        ("METRICS__TOKEN", "0123", lambda config: config.metrics.token),
        ("SERVER__PORT", "9000\n", lambda config: str(config.server.port)),
    ):
        config = read(tmp_path, GOOD, {f"PORTICO__{name}_FILE": held(tmp_path, text)})
        assert found(config) == text.strip()


SEALING_KEYS = ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "//////////////////////////////////////////8=")


def test_keys_that_encrypt(tmp_path: Path) -> None:
    one, two = SEALING_KEYS
    key, old = "PORTICO__STORES__ENCRYPTION__KEY", "PORTICO__STORES__ENCRYPTION__OLD_KEYS"
    assert read(tmp_path, GOOD, {}).stores.encryption.key is None
    plain = read(tmp_path, GOOD, {key: one, old: f"[{two}]"}).stores.encryption
    assert (plain.key, plain.old_keys) == (one, (two,))
    file = tmp_path / "old"
    file.write_text(f"{two}\n{one}\n", encoding="utf-8")
    by_file = read(tmp_path, GOOD, {f"{key}_FILE": held(tmp_path, f"{one}\n"), f"{old}_FILE": str(file)})
    assert by_file.stores.encryption.key == one
    assert by_file.stores.encryption.old_keys == (two, one)
    assert one not in repr(by_file)


@pytest.mark.parametrize("wrong", ["c2hvcnQ=", SEALING_KEYS[0][:-1], SEALING_KEYS[0].replace("8=", "9="), "0" * 64])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, wrong: str) -> None:
    line = refusal(tmp_path, GOOD, {"PORTICO__STORES__ENCRYPTION__KEY": f"'{wrong}'"})
    assert "stores.encryption.key" in line.lower()
    assert wrong not in line


def test_old_keys_need_a_new_one(tmp_path: Path) -> None:
    line = refusal(tmp_path, GOOD + f"stores: {{encryption: {{old_keys: ['{SEALING_KEYS[1]}']}}}}")
    assert "stores.encryption" in line and "needs a key" in line


def test_an_engine_by_a_url_from_a_file_takes_the_place_of_the_managed_one(tmp_path: Path) -> None:
    text = "engines: {e: {managed: {model: demo}}}\nmodels: {m: {engines: [e]}}"
    engine = read(tmp_path, text, {"PORTICO__ENGINES__E__URL_FILE": held(tmp_path, "http://h:1/v1")}).engines["e"]
    assert (engine.url, engine.managed) == ("http://h:1/v1", None)


def test_the_api_key_from_a_file(tmp_path: Path) -> None:
    key = "sk-0123456789abcdef"
    by_file = read(tmp_path, GOOD, {"PORTICO_API_KEY": "", "PORTICO_API_KEY_FILE": held(tmp_path, f"{key}\n")})
    assert by_file.auth == read(tmp_path, GOOD, {"PORTICO_API_KEY": key}).auth
    line = refusal(tmp_path, GOOD, {"PORTICO_API_KEY_FILE": held(tmp_path, "short")})
    assert "PORTICO_API_KEY_FILE" in line
    assert "16 characters" in line


def test_an_empty_variable_leaves_it_to_the_file_and_the_other_way_round(tmp_path: Path) -> None:
    name = "PORTICO__METRICS__TOKEN"
    assert read(tmp_path, GOOD, {name: "", f"{name}_FILE": held(tmp_path, "t")}).metrics.token == "t"
    assert read(tmp_path, GOOD, {name: "u", f"{name}_FILE": ""}).metrics.token == "u"
    assert read(tmp_path, GOOD + "metrics: {token: v}", {f"{name}_FILE": ""}).metrics.token == "v"


@pytest.mark.parametrize("name", ["PORTICO__METRICS__TOKEN", "PORTICO_API_KEY"])
@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), (" \n", "is empty"), (b"\xff", "not UTF-8"), ("x" * 70_000, "longer than 65536 bytes")],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, name: str, text: str | bytes, words: str) -> None:
    path = held(tmp_path, text)
    line = refusal(tmp_path, GOOD, {f"{name}_FILE": path})
    assert line.startswith(f"environment {name}_FILE: {path} ")
    assert words in line


@pytest.mark.parametrize("name", ["PORTICO__METRICS__TOKEN", "PORTICO_API_KEY"])
def test_a_file_that_is_not_there_or_not_the_only_source(tmp_path: Path, name: str) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path, GOOD, {f"{name}_FILE": str(tmp_path / "none")})
    assert "cannot be read: Is a directory" in refusal(tmp_path, GOOD, {f"{name}_FILE": str(tmp_path)})
    both = {name: SECRET, f"{name}_FILE": held(tmp_path, SECRET)}
    assert f"{name} is set too" in refusal(tmp_path, GOOD, both)


def test_what_is_wrong_in_a_file_is_said_by_its_variable(tmp_path: Path) -> None:
    line = refusal(tmp_path, GOOD, {"PORTICO__STORES__DURABLE_FILE": held(tmp_path, SECRET)})
    assert line.startswith("environment PORTICO__STORES__DURABLE_FILE: stores.durable: ")


def test_portico_config_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(GOOD + "server: {port: 7}")
    assert load(None, {"PORTICO_CONFIG": str(tmp_path / "other.yaml")}).server.port == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "sever: {}", ["sever", "not a known key"]),
        (GOOD + "server: {prot: 1}", ["server.prot", "not a known key"]),
        (GOOD + "server: {port: many}", ["server.port"]),
        (GOOD + "server: {port: 70000}", ["server.port", "65535"]),
        (GOOD + "server: 5", ["server"]),
        (GOOD + "auth: {static_keys: [{name: a, key_sha256: hunter2-canary}]}", ["auth.static_keys.0.key_sha256"]),
        (GOOD + "auth: {mode: none}\nserver: {host: 0.0.0.0}", ["auth.mode", "loopback"]),
        (GOOD + "server: {tls: {cert: /nowhere}}", ["server.tls", "together"]),
        (GOOD + "server: {tls: {cert: /nowhere, key: /nowhere}}", ["server.tls", "/nowhere"]),
        (GOOD + "server: {port: 9464}", ["metrics.port"]),
        (GOOD + "metrics: {token: [hunter2-canary]}", ["metrics.token"]),
        ("engines: {}\nmodels: {}", ["engines"]),
        ("engines: {e: {url: 'ftp://x'}}\nmodels: {m: {engines: [e]}}", ["engines.e.url"]),
        ("engines: {e: {}}\nmodels: {m: {engines: [e]}}", ["engines.e", "url", "managed"]),
        ("engines: {e: {managed: {}, make: ollama}}\nmodels: {m: {engines: [e]}}", ["engines.e", "make", "ollama"]),
        (GOOD.replace("1/v1'", "1/v1', make: sglang, vllm: true"), ["engines.e", "make", "sglang"]),
        (GOOD.replace("1/v1'", "1/v1', make: gpt4all"), ["engines.e.make", "llamacpp"]),
        ("engines: {e: {url: 'http://x/v1', api_key: {a: hunter2-canary}}}\nmodels: {m: {engines: [e]}}",
         ["engines.e.api_key"]),
        ("engines: {e: {url: 'http://x/v1'}}", ["models"]),
        ("engines: {e: {url: 'http://x/v1'}}\nmodels: {m: {engines: [f]}}", ["models.m.engines", "f"]),
        (GOOD.replace("[e]}", "[e], aliases: [m]}"), ["already belongs"]),
        ("[]", ["mapping"]),
        ("a: [", ["line", "YAML"]),
        ("a: b: c", ["YAML"]),
        ("\x00", ["YAML"]),
        ("engines: {a: {managed: {}}, b: {managed: {}}}", ["only one"]),
        ("metrics: {token: 2026-13-01}", ["YAML"]),  # looks like a date and is none
        ("a: !!int b", ["YAML"]),
        ("a: " + "[" * 3000, ["YAML"]),
        (GOOD + "server: {port: 1}\nserver: {workers: 2}", ["line 4", "server comes twice"]),
        (GOOD + "server: {shutdown_grace_s: .inf}", ["server.shutdown_grace_s", "finite"]),
        (GOOD + "admission: {max_wait_s: .nan}", ["admission.max_wait_s", "finite"]),
    ],
)  # fmt: skip
def test_one_line_that_names_file_key_and_reason(tmp_path: Path, text: str, words: list[str]) -> None:
    line = refusal(tmp_path, text)
    assert line.startswith(str(tmp_path / "portico.yaml"))
    assert [word for word in words if word not in line] == [], line


@pytest.mark.parametrize(
    "url", ["http://x:99999/v1", "http://hunter2-canary:abc/v1", "http://[::1/v1", "http://:80/v1"]
)
def test_a_url_that_nothing_can_connect_to(tmp_path: Path, url: str) -> None:
    text = f"engines: {{e: {{url: '{url}'}}}}\nmodels: {{m: {{engines: [e]}}}}"
    assert "engines.e.url" in refusal(tmp_path, text)
    assert read(tmp_path, text.replace(url, "http://[::1]:8000/v1")).engines["e"].url == "http://[::1]:8000/v1"


def test_a_key_may_come_twice_by_way_of_an_anchor(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD + "metrics: &m {port: 1}\nserver: {<<: *m, port: 2}")
    assert (config.metrics.port, config.server.port) == (1, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTICO__SERVER__PORT", SECRET),
        ("PORTICO__METRICS__TOKEN", "2026-13-01"),
        ("PORTICO__SERVER__PROT", "1"),
        ("PORTICO__SEVER__PORT", "1"),
        ("PORTICO__SEVER", "1"),
        ("PORTICO__SERVER__PORT__X", "1"),
        ("PORTICO__SERVER", "[1"),
        ("PORTICO__AUTH__STATIC_KEYS", "[{name: a, key_sha256: hunter2-canary}]"),
    ],
)
def test_the_variable_is_named(tmp_path: Path, name: str, value: str) -> None:
    assert name in refusal(tmp_path, GOOD + "server: {port: 1}", {name: value})


def test_the_command_line_is_named(tmp_path: Path) -> None:
    assert "command line" in refusal(tmp_path, GOOD, server__port=-1)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "bytes.yaml", {})


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    text = f"engines: {{e: {{url: 'http://x/v1', api_key: {SECRET}}}}}\nmodels: {{m: {{engines: [e]}}}}\n"
    config = read(tmp_path, text + f"metrics: {{token: {SECRET}}}")
    assert SECRET not in repr(config) + str(config)


def test_every_key_is_described() -> None:
    schema = Config.model_json_schema()
    for name, section in {"Config": schema, **schema["$defs"]}.items():
        for key, about in section.get("properties", {}).items():
            assert about.get("description"), f"{name}.{key}"


def test_loopback() -> None:
    assert [host for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9") if not is_loopback(host)] == []
    assert [host for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "") if is_loopback(host)] == []


def test_home() -> None:
    assert home({"PORTICO_HOME": "/x"}) == Path("/x")
    assert home({}) == Path.home() / ".local/share/portico"
    assert home({"PORTICO_HOME": "here"}) == Path.cwd() / "here"


def test_an_engine_by_url_takes_the_place_of_the_managed_one(tmp_path: Path) -> None:
    environ = {"PORTICO__ENGINES__LOCAL__URL": "http://10.0.0.5:8000/v1"}
    with pytest.raises(ConfigError, match=r"for example PORTICO__MODELS='\{gpt-oss-20b: \{engines: \[local\]\}\}'"):
        load(None, environ)
    config = load(None, environ | {"PORTICO__MODELS": "{gpt-oss-20b: {engines: [local]}}"})
    assert (config.engines["local"].url, config.engines["local"].managed) == ("http://10.0.0.5:8000/v1", None)


def test_a_password_in_a_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"PORTICO__ENGINES__LOCAL__URL": "http://me:secret@10.0.0.5/v1"})
    assert "secret" not in str(caught.value)


TRACED = GOOD + "tracing: {endpoint: 'http://127.0.0.1:4318'"


def test_tracing(tmp_path: Path) -> None:
    config = read(tmp_path, TRACED + f", sample_ratio: 0.1, headers: {{authorization: Bearer {SECRET}}}}}")
    assert (config.tracing.endpoint, config.tracing.sample_ratio) == ("http://127.0.0.1:4318", 0.1)
    assert SECRET not in repr(config)
    for bad in ("{'a b': x}", "{a: ''}", f'{{a: "{SECRET}\\r\\nb: c"}}'):
        assert "tracing.headers" in refusal(tmp_path, TRACED + f", headers: {bad}}}")


@pytest.mark.parametrize("lacks", ["opentelemetry", "opentelemetry.proto"])
def test_tracing_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda name: None if name == lacks else name)
    assert "pip install 'portico[otel]'" in refusal(tmp_path, TRACED + "}")
    assert read(tmp_path).tracing.endpoint is None


def test_files_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = GOOD + "files: {storage: 's3://a-bucket/portico'}"
    assert read(tmp_path, stored).files.storage == "s3://a-bucket/portico"
    for bad in ("a-bucket", "s3://", "s3://key:secret@a-bucket", "gs://a-bucket", "s3://A_B/x"):
        assert "files.storage" in refusal(tmp_path, GOOD + f"files: {{storage: '{bad}'}}")
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    assert "pip install 'portico[s3]'" in refusal(tmp_path, stored)
    assert read(tmp_path).files.storage is None


def test_what_is_secret_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "portico.yaml"
    file.write_text(TRACED + f", headers: {{x-key: {SECRET}}}}}\nmetrics: {{token: {SECRET}}}\n")
    assert cli.main(["config", "show", "--config", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "4318" in shown
    assert SECRET not in shown


TOOLS = GOOD + "tools: {servers: {desk: {url: 'http://desk/mcp'"


def test_tool_servers(tmp_path: Path) -> None:
    key = {"PORTICO__TOOLS__SERVERS__DESK__HEADERS__AUTHORIZATION": f"Bearer {SECRET}"}
    config = read(tmp_path, TOOLS + "}}}", key)
    desk = config.tools.servers["desk"]
    assert (desk.role, desk.headers, desk.projects) == ("mcp", {"authorization": f"Bearer {SECRET}"}, None)
    assert SECRET not in repr(config)
    assert SECRET not in json.dumps(without_secrets(config.model_dump(mode="json")))
    for label in ("a__b", "a b", "_a", "x" * 33):
        assert "tools.servers" in refusal(
            tmp_path, f"{GOOD}tools: {{servers: {{{label}: {{url: 'http://desk/mcp'}}}}}}"
        )
    for bad in (", role: browser}}}", ", timeout_s: 0}}}", ", headers: {'a b': x}}}}", "}}, max_rounds: 1}"):
        assert "tools." in refusal(tmp_path, TOOLS + bad)


def model_of(**settings: Any) -> str:
    return (
        f"engines: {{e: {{url: 'http://127.0.0.1:1/v1', make: {settings.pop('make', 'vllm')}}}}}\nmodels: {settings}\n"
    )


def test_what_a_model_serves(tmp_path: Path) -> None:
    assert read(tmp_path).models["m"].serves == ("chat",)
    both = model_of(m={"engines": ["e"], "serves": ["embeddings", "rerank"]})
    assert read(tmp_path, both).models["m"].serves == ("embeddings", "rerank")
    assert "models.m.serves" in refusal(tmp_path, model_of(m={"engines": ["e"], "serves": []}))
    assert "models.m.serves.0" in refusal(tmp_path, model_of(m={"engines": ["e"], "serves": ["images"]}))


@pytest.mark.parametrize(
    ("make", "serves", "good"),
    [
        *((make, "embeddings", make != "transformers") for make in get_args(EngineMake)),
        *((make, "rerank", make in ("vllm", "sglang", "llamacpp")) for make in get_args(EngineMake)),
    ],
)
def test_a_make_that_does_not_serve_it(tmp_path: Path, make: str, serves: str, good: bool) -> None:
    text = model_of(make=make, m={"engines": ["e"], "serves": [serves]})
    if good:
        assert read(tmp_path, text)
    else:
        assert f"models.m.serves: engine e ({make}) does not serve {serves}" in refusal(tmp_path, text)


def test_a_fallback_serves_what_the_model_does(tmp_path: Path) -> None:
    text = model_of(
        a={"engines": ["e"], "serves": ["rerank"], "fallback": "b"}, b={"engines": ["e"], "serves": ["chat"]}
    )
    assert "models.a.fallback: b does not serve rerank" in refusal(tmp_path, text)
    text = model_of(
        a={"engines": ["e"], "serves": ["embeddings"], "fallback": "b"},
        b={"engines": ["e"], "serves": ["embeddings"]},
    )
    assert "models.a.fallback: not with embeddings" in refusal(tmp_path, text)
