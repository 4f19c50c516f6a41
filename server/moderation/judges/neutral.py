"""Text that goes into a model's prompt as nothing but text. Pure.

Engines that render a chat template tokenise its output as a whole: `<|im_end|>` in a judged text would end the message
and whoever wrote it could go on as somebody else. So a space is put where such a token would be whole:

- `<|` becomes `< |`, and `|>` becomes `| >`: every control token of gpt-oss, Qwen and Llama 3 and 4;
- `<` before `think>`, `tool_call>`, `tool_response>` or their closing forms gets a space behind it: tokens of Qwen;
- so does `<` before `BEGIN ` and `END `: delimiters in the templates of Llama Guard and Qwen3Guard, which are no tokens
  and yet mean something to the model.

A judge sees nearly what was written, and that something like a token stood there.
"""

from __future__ import annotations

import re

_OPENING = re.compile(r"<(?=\||/?(?:think|tool_call|tool_response)>|(?:BEGIN|END) )", re.IGNORECASE)


def neutralised(text: str) -> str:
    """Without anything that a tokenizer could take for a control token. Lone surrogates, no text at all, become `?`."""
    return _OPENING.sub("< ", encodable(text)).replace("|>", "| >")


def encodable(text: str) -> str:
    """With as many characters."""
    return text.encode("utf-8", "replace").decode()
