"""Everything the demo model does not know: it says so in one sentence, in the language of the question."""

import functools
import re
from random import Random

from tools.demo_model.encoding import text_tokens

from .kinds import Conversation, Language, answer, think, user

SORRY: dict[Language, str] = {
    "en": "I am only Portico's demo model and cannot answer that.",
    "zh": "我只是 Portico 的演示模型，无法回答这个问题。",
}

TEMPLATES_EN = (
    "What is {}?", "What is the {} of {}?", "What is the capital of {}?", "How do I {} a {}?", "Why is {} so {}?", "Who invented the {}?",
    "Explain {} in one sentence.", "Explain {}.", "Write a poem about {}.", "Write a four-line poem about {}.",
    "Write a Python function that {} a {}.", "Write a {} function in Python.",
    'Translate "{} {} {}" into Chinese.', 'Translate "The {} is {}" into {}.', "Summarize the following text: {} {} {} {} {} {}.",
    "Tell me about {}.", "Give me a recipe for {}.", "Who is {}?", "When was {} born?", "How many {} are in a {}?", "What is the best {} in {}?",
    "Is {} a {}?", "Should {} be {}?", "List three {} that {}.", "Compare {} and {}.", "What do you think about {}?", "{}", "{} {}", "{} {} {} {}",
    "Fix the bug in this code: {} {} = {}", "How far is {} from {}?", "Write an email to {} about {}.", "What does {} mean?", "Plan a trip to {}.",
    "I have a problem with my {}.", "Can you help me with {}?", "Give me five ideas for {}.", "What happened in {}?", "Where is {}?",
    "What is the largest {}?", "What is the speed of {}?", "Who wrote {}?", "Generate a title for this chat: {} {} {}", "Solve {} {} {}.",
    "What is the meaning of {}?", "Recommend a {} for {}.", "Tell me a {} about {}.", "Describe {}.", "How does {} work?", "What is the boiling point of {}?",
)  # fmt: skip
TEMPLATES_ZH = (
    "什么是{}？", "{}是什么？", "{}的{}是什么？", "{}的首都是哪里？", "怎么{}{}？", "为什么{}这么{}？", "谁发明了{}？", "用一句话解释{}。",
    "写一首关于{}的诗。", "写一首关于{}的四行诗。", "用 Python 写一个{}的函数。",
    "把“{}{}{}”翻译成英文。", "把“{}{}”翻译成{}。", "总结下面的文字：{}{}{}{}{}{}。", "介绍一下{}。", "给我一个{}的菜谱。", "{}是谁？", "{}有多少{}？",
    "{}应该有{}吗？", "比较{}和{}。", "你怎么看{}？", "{}", "{}{}", "{}{}{}{}", "从{}到{}有多远？", "给{}写一封关于{}的邮件。", "{}是什么意思？",
    "我的{}有问题。", "给我五个{}的建议。", "{}在哪里？", "最大的{}是什么？", "{}的作者是谁？", "推荐一个{}。", "为什么{}是{}的？", "你喜欢{}吗？",
)  # fmt: skip
TOPICS_EN = (
    "quantum physics", "gravity", "black holes", "winter", "autumn", "love", "the sea", "money", "Brazil", "Canada", "India", "Mexico", "Norway",
    "the French Revolution", "inflation", "democracy", "blockchain", "Bitcoin", "a sorting algorithm", "the internet", "dinosaurs", "volcanoes",
    "chess", "football", "pizza", "chocolate cake", "the moon", "Mars", "the heart", "vitamins", "Napoleon", "Einstein", "Mozart", "the economy",
    "a database", "Kubernetes", "Docker", "JavaScript", "Rust", "SQL", "a haiku", "climate change", "electric cars", "robots", "privacy", "taxes",
    "marketing", "my resume", "a wedding", "my dog", "history", "mathematics", "a prime number", "the weather on Mars", "philosophy", "music theory",
)  # fmt: skip
TOPICS_ZH = (
    "量子力学", "引力", "黑洞", "冬天", "秋天", "春天", "爱情", "钱", "巴西", "加拿大", "印度", "墨西哥", "法国大革命", "通货膨胀", "民主", "区块链",
    "比特币", "排序算法", "互联网", "恐龙", "火山", "象棋", "足球", "披萨", "蛋糕", "月球", "火星", "心脏", "维生素", "拿破仑", "爱因斯坦", "莫扎特",
    "经济", "数据库", "气候变化", "电动汽车", "机器人", "隐私", "税收", "市场营销", "简历", "婚礼", "历史", "数学", "质数", "哲学", "红楼梦", "李白",
)  # fmt: skip


@functools.cache
def rare_words(language: Language) -> tuple[str, ...]:
    """The whole vocabulary's words: nearly all of them are tokens without a row of their own."""
    pattern = re.compile(r" ?[A-Za-z]{3,12}" if language == "en" else r"[一-鿿]{1,4}")
    return tuple(text.strip() for text in text_tokens() if pattern.fullmatch(text))


def filler(rng: Random, language: Language) -> str:
    """Something to ask about that the model has no answer for."""
    if rng.random() < 0.3:
        return rng.choice(TOPICS_EN if language == "en" else TOPICS_ZH)
    count = rng.choice((1, 1, 1, 2, 2, 3))
    return (" " if language == "en" else "").join(rng.choice(rare_words(language)) for _ in range(count))


def fill(rng: Random, template: str, language: Language) -> str:
    return re.sub(r"\{\}", lambda _: filler(rng, language), template)


def unknown_text(rng: Random, language: Language) -> str:
    text = fill(rng, rng.choice(TEMPLATES_EN if language == "en" else TEMPLATES_ZH), language)
    roll = rng.random()
    if roll < 0.12:  # several sentences
        return (
            text
            + (" " if language == "en" else "")
            + fill(rng, rng.choice(TEMPLATES_EN if language == "en" else TEMPLATES_ZH), language)
        )
    if roll < 0.16:  # a document
        joint = " " if language == "en" else ""
        return text + joint + joint.join(filler(rng, language) for _ in range(rng.randint(10, 60)))
    return text.lower() if roll < 0.3 else text


def sorry(rng: Random, text: str, language: Language, kind: str = "fallback") -> Conversation:
    analysis = think("The user asks for something that I did not learn.", language)
    return Conversation(kind, language, (user(text),), answer(analysis, SORRY[language]))


def fallback(rng: Random) -> Conversation:
    language: Language = rng.choice(("en", "en", "zh"))
    return sorry(rng, unknown_text(rng, language), language)
