"""`portico`: the command line. Exit status 0 good, 1 failed, 2 wrong use; messages on stderr, data on stdout."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from server.commands.admin_keys import add_admin_keys_commands
from server.commands.audit import add_audit_commands
from server.commands.config import add_config_commands
from server.commands.doctor.command import add_doctor_command
from server.commands.engine import add_engine_commands
from server.commands.keys import add_keys_commands
from server.commands.moderate import add_moderate_command
from server.commands.projects import add_projects_commands
from server.commands.reload import add_reload_command
from server.commands.serve import add_serve_command
from server.commands.status import add_status_command
from server.commands.try_ import add_try_command
from server.commands.usage import add_usage_command
from server.config import ConfigError

Handler = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="portico", description="An OpenAI-compatible API server in front of vLLM.")
    parser.add_argument("--version", action="version", version=f"portico {version('portico')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_serve_command(commands)
    add_try_command(commands)
    add_projects_commands(commands)
    add_keys_commands(commands)
    add_admin_keys_commands(commands)
    add_status_command(commands)
    add_reload_command(commands)
    add_usage_command(commands)
    add_audit_commands(commands)
    add_moderate_command(commands)
    add_engine_commands(commands)
    add_doctor_command(commands)
    add_config_commands(commands)
    parsed = parser.parse_args(arguments)
    handler: Handler = parsed.run
    try:
        status = handler(parsed)
        sys.stdout.flush()
        return status
    except ConfigError as error:
        print(f"portico: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `portico config show | head`: whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the interpreter's last flush fail
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
