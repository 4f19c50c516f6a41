"""The managed engine: a vLLM of its own that Portico chooses, installs, starts, watches and takes along when it ends.

The surface for the rest of Portico: `prepare` (synchronous, before the event loop) and `EngineSupervisor`.
"""

from server.engines.managed.errors import EngineSetupError
from server.engines.managed.plan import Plan
from server.engines.managed.serve import Prepared, prepare
from server.engines.managed.state import EngineState
from server.engines.managed.supervisor import EngineSupervisor

__all__ = ["EngineSetupError", "EngineState", "EngineSupervisor", "Plan", "Prepared", "prepare"]
