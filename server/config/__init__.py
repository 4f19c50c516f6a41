"""The configuration: `tree.py` says what there is, `load.py` reads it, `reload.py` says what of it can change."""

from server.config.engine import Engine, EngineMake, Managed, Timeouts
from server.config.files import Batches, Files
from server.config.load import (
    ENV_PREFIX,
    ENVIRONMENT,
    ConfigError,
    environment_key,
    first_problem,
    load,
    read_bytes,
    tree_of,
)
from server.config.model import Defaults, Limit, Model, Price, Served
from server.config.places import home, is_loopback, policy_place, shipped
from server.config.reload import reloaded
from server.config.section import Name, PriorityClass, Sha256, Url
from server.config.tools import Tools, ToolServer
from server.config.tracing import Tracing
from server.config.tree import (
    Admission,
    Auth,
    Config,
    Encryption,
    Limits,
    Retention,
    Server,
    StaticKey,
    Stores,
    Tls,
)

__all__ = [
    "ENVIRONMENT",
    "ENV_PREFIX",
    "Admission",
    "Auth",
    "Batches",
    "Config",
    "ConfigError",
    "Defaults",
    "Encryption",
    "Engine",
    "EngineMake",
    "Files",
    "Limit",
    "Limits",
    "Managed",
    "Model",
    "Name",
    "Price",
    "PriorityClass",
    "Retention",
    "Served",
    "Server",
    "Sha256",
    "StaticKey",
    "Stores",
    "Timeouts",
    "Tls",
    "ToolServer",
    "Tools",
    "Tracing",
    "Url",
    "environment_key",
    "first_problem",
    "home",
    "is_loopback",
    "load",
    "policy_place",
    "read_bytes",
    "reloaded",
    "shipped",
    "tree_of",
]
