"""The documentation is there, current and right where a program can tell."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from server import app, cli, config, errors
from server.telemetry import families
from server.telemetry.kinds import Family
from server.telemetry.metrics import Metrics
from tests.snippets import FENCE

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
SECTIONS = set(config.Config.model_fields)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def headings(text: str) -> list[str]:
    return re.findall(r"^#{1,6} (.+)$", FENCE.sub("", text), re.MULTILINE)


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("config_reference", ROOT / "tools/config_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])  # the tool adds the checkout
        patch.setitem(sys.modules, "config_reference", ModuleType("config_reference"))  # its dataclass looks itself up
        yield load_tool()


def test_the_reference_of_the_configuration_is_current(tool: ModuleType) -> None:
    document = text_of("docs/configuration.md")
    assert tool.whole(document) == document, "run: python tools/config_reference.py"


def test_every_key_is_described(tool: ModuleType) -> None:
    """By walking the JSON schema, apart from how the reference is made."""
    schema = config.Config.model_json_schema()
    names = {name for part in (schema, *schema["$defs"].values()) for name in part["properties"]}
    document = text_of("docs/configuration.md")
    assert {name for name in names if not re.search(rf"`(?:[\w.<>\[\]]+\.)?{name}`", document)} == set()
    assert all(key.description.endswith(".") for key in tool.entries())


def test_every_environment_variable_of_the_reference_works(tool: ModuleType) -> None:
    for key in tool.entries():
        if key.variable is None or "<NAME>" in key.variable or not key.default:
            continue
        assert isinstance(config.load(None, {key.variable: key.default}), config.Config), key.path


def metric_sections() -> dict[str, str]:
    sections = re.split(r"^### `(portico_\w+)`$", text_of("docs/operations.md"), flags=re.MULTILINE)[1:]
    return dict(
        zip(sections[::2], (re.split(r"^#", text, flags=re.MULTILINE)[0] for text in sections[1::2]), strict=True)
    )


def test_every_metric_has_a_heading_and_no_heading_lacks_its_metric() -> None:
    assert len(families.ALL) >= 30
    described = {title.strip("`") for title in headings(text_of("docs/operations.md")) if "portico_" in title}
    assert described == {one.name for one in families.ALL}


@pytest.mark.parametrize("family", families.ALL, ids=lambda family: family.name)
def test_kind_unit_and_labels_of_a_metric_are_as_documented(family: Family) -> None:
    first = metric_sections()[family.name].strip().partition("\n\n")[0]
    assert first.startswith(f"{family.kind}, {family.unit}.")
    declared = re.search(r"Labels? (.+?)(?:\.\s|$)", first, re.DOTALL)
    assert bool(declared) == bool(family.labels)
    names = re.findall(r"`(\w+)`", declared[1]) if declared else []
    assert set(family.labels) <= set(names)


def test_metrics_are_declared_in_one_file() -> None:
    makers = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    for path in sorted((ROOT / "server").rglob("*.py")):
        if path.name != "kinds.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
                    first = node.args[0] if node.args else None
                    assert not isinstance(first, ast.Constant), f"{path}: declare {ast.unparse(node)} in families.py"


def test_every_stage_has_a_heading() -> None:
    stages = list(app._stages(Metrics(CollectorRegistry())))
    titles = [title.strip("`") for title in headings(text_of("docs/architecture.md"))]
    assert [title for title in titles if title in stages] == stages, "a heading for each, in the order of the table"


def test_every_error_code_is_in_the_table_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text_of("docs/operations.md"), re.MULTILINE))

    def below(kind: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    kinds = [kind for kind in below(errors.GatewayError) if kind.__module__ == errors.__name__]
    assert rows == {kind.code or "null": str(kind.status) for kind in kinds}


def test_every_outcome_is_described() -> None:
    section = text_of("docs/operations.md").partition("### `portico_requests_total`")[2].partition("\n### ")[0]
    outcomes = {one.outcome for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "outcome")}
    assert {name for name in outcomes | {"ok", "client_gone"} if f"`{name}`" not in section} == set()


def yaml_blocks() -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for page in PAGES:
        for number, (kind, block) in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
            if kind == "yaml":
                found.append((f"{page.name}-{number}", yaml.safe_load(block)))
    return found


@pytest.mark.parametrize(("where", "tree"), yaml_blocks(), ids=lambda value: value if isinstance(value, str) else "")
def test_examples_of_the_configuration_load(where: str, tree: dict[str, Any], tmp_path: Path) -> None:
    if set(tree) == {"scrape_configs"}:
        return  # Prometheus', not ours
    assert set(tree) <= SECTIONS, where
    for name in tree.get("server", {}).get("tls", {}):
        (tmp_path / name).touch()
        tree["server"]["tls"][name] = str(tmp_path / name)
    file = tmp_path / "portico.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    loaded = config.load(file, {})
    assert loaded.server.port


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, fragment = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if fragment:
            assert fragment in {anchor(title) for title in headings(file.read_text(encoding="utf-8"))}, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    makefile = ROOT / "Makefile"
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile.read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^    |^\$ |\.yaml )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets
    if page in READMES:
        assert {"serve", "test"} <= set(named)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^    |bin/)portico ([a-z][a-z-]*)", text, re.MULTILINE))
    for command in named:
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_every_command_is_in_the_readme(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    commands = re.findall(r"^    ([a-z][a-z-]*)\b", capsys.readouterr().out, re.MULTILINE)
    assert len(commands) >= 10
    text = page.read_text(encoding="utf-8")
    assert [name for name in commands if not re.search(rf"^\| `portico {name}\b", text, re.MULTILINE)] == []


def test_both_readmes_hold_the_same_commands_and_sections() -> None:
    english, chinese = (page.read_text(encoding="utf-8") for page in READMES)

    def blocks(text: str) -> list[str]:
        without_comments = [re.sub(r"\s*#.*", "", block) for _, block in FENCE.findall(text)]
        return without_comments + re.findall(r"^    (\S.*)$", FENCE.sub("", text), re.MULTILINE)

    def levels(text: str) -> list[int]:
        return [len(marks) for marks in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)]

    def links(text: str) -> list[str]:
        return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "README" not in link]

    assert blocks(chinese) == blocks(english)
    assert levels(chinese) == levels(english)
    assert links(chinese) == links(english)


def test_the_changelog_has_the_projects_version() -> None:
    version = re.search(r'^version = "(.+)"$', text_of("pyproject.toml"), re.MULTILINE)
    assert version
    assert f"## [{version[1]}]" in text_of("CHANGELOG.md")
