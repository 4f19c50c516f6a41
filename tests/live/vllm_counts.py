"""Run by the engine's own Python: requests on standard input, one a line, to their prompt tokens, by vLLM's code."""

import json
import sys
from types import SimpleNamespace

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest  # pyright: ignore
from vllm.renderers.online_renderer import OnlineRenderer  # pyright: ignore

renderer = SimpleNamespace(renderer=None, supports_browsing=False, supports_code_interpreter=False)
for line in sys.stdin:
    request = ChatCompletionRequest(**json.loads(line))
    _, found = OnlineRenderer._make_request_with_harmony(renderer, request, request.tools is not None)
    print(len(found[0]["prompt_token_ids"]))
