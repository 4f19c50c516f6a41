"""Compare the corpus's rendering with vLLM's own, token for token: `ENGINE_PYTHON -m tools.demo_model.compare`.

Runs in the engine's environment. Exits with 1 and shows the first difference if there is one."""

import argparse
import os
import sys
from dataclasses import asdict

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.parser.harmony_utils import (
    build_harmony_preamble,
    extract_instructions_from_messages,
    parse_chat_inputs_to_harmony_messages,
    render_for_completion,
)

from .corpus.kinds import Conversation
from .corpus.mix import conversations
from .encoding import harmony
from .rendering import render_prompt


def request_of(found: Conversation) -> ChatCompletionRequest:
    """As a client would send it."""
    instructions = [{"role": "system", "content": found.instructions}] if found.instructions else []
    tools = [{"type": "function", "function": tool} for tool in found.tools]
    return ChatCompletionRequest.model_validate(
        {"model": "any", "messages": [*instructions, *found.messages], "reasoning_effort": found.effort}
        | ({"tools": tools} if tools else {})
    )


def rendered_by_vllm(found: Conversation) -> list[int]:
    """The steps of vLLM's chat completions renderer for gpt-oss."""
    os.environ["VLLM_SYSTEM_START_DATE"] = found.date
    request = request_of(found)
    instructions, messages = extract_instructions_from_messages(list(request.messages))
    preamble = build_harmony_preamble(
        instructions=instructions,
        tools=request.tools,
        reasoning_effort=request.reasoning_effort,
        with_custom_tools=bool(request.tools),
    )
    return render_for_completion([*preamble, *parse_chat_inputs_to_harmony_messages(messages)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.compare", description=__doc__)
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    chosen = [found for found in conversations(options.number, options.seed) if isinstance(found, Conversation)]
    for found in chosen:
        ours, theirs = render_prompt(found), rendered_by_vllm(found)
        if ours != theirs:
            print(
                f"differs: {asdict(found)}\nours:   {harmony().decode(ours)!r}\ntheirs: {harmony().decode(theirs)!r}",
                file=sys.stderr,
            )
            return 1
    print(f"{len(chosen)} conversations rendered alike")
    return 0


if __name__ == "__main__":
    sys.exit(main())
