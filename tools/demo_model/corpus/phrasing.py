"""Small, meaning-preserving changes to a question: case, punctuation, politeness, white space."""

from random import Random

from .kinds import Language

POLITE_EN = ("Please ", "please ", "Hi, ", "Hello! ", "Hey, ", "Quick question: ", "OK, ", "So, ", "Now, ")
ASKING_EN = ("Can you tell me ", "Could you tell me ", "Tell me, ", "I want to know: ", "Please tell me: ")
POLITE_ZH = ("请", "请问，", "请问", "你好，", "您好！", "麻烦你", "请告诉我，", "我想知道，", "好的，")
AFTER_EN = (" Thanks.", " Thank you!", " Please.", ", please", " please")
AFTER_ZH = ("谢谢。", "谢谢！", "，谢谢", "吧", "呢")


def vary(rng: Random, text: str, language: Language, *, polite: bool = True) -> str:
    """About half of the answers are the text itself."""
    if rng.random() < 0.45:
        return text
    return _vary_english(rng, text, polite) if language == "en" else _vary_chinese(rng, text, polite)


def _vary_english(rng: Random, text: str, polite: bool) -> str:
    if polite and rng.random() < 0.3:
        is_question = text.split(" ", 1)[0] in ("What", "Who", "Why", "How", "When", "Where", "Is", "Should")
        before = rng.choice(ASKING_EN if is_question and rng.random() < 0.5 else POLITE_EN)
        text = before + _lower_first(text)
    if rng.random() < 0.3:
        text = text.rstrip("?.!") + rng.choice(("", "?", ".", "!", "??", " ?"))
    if polite and rng.random() < 0.12:
        text += rng.choice(AFTER_EN)
    roll = rng.random()
    if roll < 0.25:
        text = text.lower()
    elif roll < 0.35:
        text = _lower_first(text)
    return _space(rng, text)


def _vary_chinese(rng: Random, text: str, polite: bool) -> str:
    if polite and rng.random() < 0.35 and not text.startswith("请"):
        text = rng.choice(POLITE_ZH) + text
    if rng.random() < 0.5:
        text = text.rstrip("？。！") + rng.choice(("", "", "?", "？", "。", "！", "呢？"))
    if polite and rng.random() < 0.1:
        text += rng.choice(AFTER_ZH)
    return _space(rng, text)


def _lower_first(text: str) -> str:
    """'I' and names of one letter stay as they are."""
    return text if text[1:2] in (" ", ",", "'") else text[:1].lower() + text[1:]


def _space(rng: Random, text: str) -> str:
    roll = rng.random()
    if roll < 0.04:
        return text + "\n"
    if roll < 0.07:
        return " " + text
    return text + " " if roll < 0.09 else text
