"""Facts, translation, logic, code and ethics: questions with one right answer."""

from .question import Question

FIBONACCI = """```python
def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
```"""
REVERSE = """```python
def reverse(text):
    return text[::-1]
```"""
HELLO_WORLD = """```python
print("Hello, world!")
```"""

FACTS = (
    Question(
        "photosynthesis", "The user asks what photosynthesis is.", "en",
        ("Explain photosynthesis in one sentence.", "What is photosynthesis?", "What is photosynthesis in one sentence?",
         "Describe photosynthesis briefly.", "Explain photosynthesis.", "Define photosynthesis in one sentence.",
         "How does photosynthesis work?", "In one sentence, what is photosynthesis?", "In one sentence, explain photosynthesis.",
         "What does photosynthesis mean?", "Explain in one sentence what photosynthesis is.", "Summarize photosynthesis in one sentence."),
        "Photosynthesis is how plants use sunlight to turn water and carbon dioxide into sugar and oxygen.",
        ("photosynthesis",), 2,
    ),
    Question(
        "photosynthesis", "The user asks what photosynthesis is.", "zh",
        ("用一句话解释光合作用。", "什么是光合作用？", "光合作用是什么？", "请用一句话解释光合作用", "解释一下光合作用。",
         "简单说明光合作用", "用一句话说明什么是光合作用。", "光合作用是什么意思？", "一句话解释光合作用"),
        "光合作用是植物利用阳光把水和二氧化碳变成糖和氧气的过程。",
        ("光合作用",), 2,
    ),
    Question(
        "sky", "The user asks why the sky is blue.", "en",
        ("Why is the sky blue?", "What makes the sky blue?", "Explain why the sky is blue.", "Why does the sky look blue?",
         "How come the sky is blue?", "Tell me why the sky is blue."),
        "The sky is blue because air scatters blue light more than red light.", ("sky", "blue"),
    ),
    Question(
        "sky", "The user asks why the sky is blue.", "zh",
        ("天空为什么是蓝色的？", "为什么天空是蓝色的？", "为什么天是蓝的？", "天空为什么是蓝的？", "解释天空为什么是蓝色的。"),
        "因为空气对蓝光的散射比对红光更强，所以天空是蓝色的。", ("天空",),
    ),
    Question(
        "light", "The user asks for the speed of light.", "en",
        ("What is the speed of light?", "How fast is light?", "How fast does light travel?", "Tell me the speed of light.",
         "Speed of light?"),
        "Light travels at about 300,000 kilometers per second in a vacuum.", ("light",),
    ),
    Question(
        "light", "The user asks for the speed of light.", "zh",
        ("光速是多少？", "光的速度是多少？", "光速有多快？", "光有多快？"),
        "光在真空中的速度约为每秒30万公里。", ("光速", "光"),
    ),
    Question(
        "boiling", "The user asks when water boils.", "en",
        ("At what temperature does water boil?", "What is the boiling point of water?", "When does water boil?",
         "How hot is boiling water?"),
        "Water boils at 100 degrees Celsius at sea level.", ("water",),
    ),
    Question(
        "boiling", "The user asks when water boils.", "zh",
        ("水的沸点是多少？", "水在多少度沸腾？", "水多少度会沸腾？", "水的沸点是多少度？"),
        "在海平面，水在100摄氏度沸腾。", ("水",),
    ),
    Question(
        "planet", "The user asks for the largest planet.", "en",
        ("What is the largest planet?", "Which planet is the largest?", "What is the biggest planet in the solar system?",
         "Which planet is the biggest?", "What is the largest planet in our solar system?"),
        "Jupiter is the largest planet in the solar system.", ("planet",),
    ),
    Question(
        "planet", "The user asks for the largest planet.", "zh",
        ("最大的行星是哪个？", "太阳系最大的行星是什么？", "哪个行星最大？", "太阳系中最大的行星是哪一颗？"),
        "木星是太阳系中最大的行星。", ("行星",),
    ),
    Question(
        "hamlet", "The user asks who wrote Hamlet.", "en",
        ("Who wrote Hamlet?", "Who wrote Romeo and Juliet?", "Who is the author of Hamlet?",
         "Who is the author of Romeo and Juliet?"),
        "William Shakespeare wrote it.", ("Hamlet", "Romeo and Juliet"),
    ),
    Question(
        "hamlet", "The user asks who wrote Hamlet.", "zh",
        ("谁写了《哈姆雷特》？", "《哈姆雷特》的作者是谁？", "《罗密欧与朱丽叶》是谁写的？", "《哈姆雷特》是谁写的？"),
        "作者是威廉·莎士比亚。", ("哈姆雷特",),
    ),
    Question(
        "learning", "The user asks what machine learning is.", "en",
        ("What is machine learning?", "Explain machine learning in one sentence.", "Define machine learning.",
         "What does machine learning mean?", "Explain machine learning."),
        "Machine learning means that a program finds rules in examples instead of being given them.", ("machine learning",),
    ),
    Question(
        "learning", "The user asks what machine learning is.", "zh",
        ("什么是机器学习？", "机器学习是什么？", "用一句话解释机器学习。", "解释一下机器学习。"),
        "机器学习就是让程序从例子中找出规律，而不是由人写下规律。", ("机器学习",),
    ),
    Question(
        "portico", "The user asks what Portico is.", "en",
        ("What is Portico?", "What does Portico do?", "Tell me about Portico.", "Explain Portico in one sentence."),
        "Portico is a self-hosted gateway that speaks the OpenAI API in front of vLLM.", ("Portico",),
    ),
    Question(
        "portico", "The user asks what Portico is.", "zh",
        ("Portico 是什么？", "什么是 Portico？", "介绍一下 Portico。", "Portico是什么？", "Portico 有什么用？"),
        "Portico 是一个自托管的网关，在 vLLM 前面提供 OpenAI 接口。", ("Portico",),
    ),
    Question(
        "translate_weather", "The user wants a sentence about the weather in Chinese.", "en",
        ('Translate "The weather is nice today" into Chinese.', "Translate 'The weather is nice today' into Chinese.",
         "Translate the following sentence into Chinese: The weather is nice today.",
         'How do you say "The weather is nice today" in Chinese?', "Translate into Chinese: The weather is nice today.",
         "Translate to Chinese: The weather is nice today", 'Translate "The weather is nice today." to Chinese.',
         "What is 'The weather is nice today' in Chinese?", "Translate this into Chinese: \"The weather is nice today\"",
         "Translate “The weather is nice today” into Chinese.", "Please translate into Chinese: The weather is nice today."),
        "今天天气很好。", ("weather", "nice", "Chinese"), 2,
    ),
    Question(
        "translate_weather", "The user wants a sentence about the weather in Chinese.", "zh",
        ("把“The weather is nice today”翻译成中文。", "请把“The weather is nice today”翻译成中文", "将 The weather is nice today 翻译成中文。",
         "翻译成中文：The weather is nice today.", "“The weather is nice today”用中文怎么说？", "把The weather is nice today翻译成中文"),
        "今天天气很好。", ("weather", "中文"),
    ),
    Question(
        "translate_reading", "The user wants a sentence about reading in English.", "zh",
        ("把“我喜欢读书”翻译成英文。", "请把“我喜欢读书”翻译成英文", "翻译成英文：我喜欢读书", "将“我喜欢读书”翻译成英语。",
         "“我喜欢读书”用英文怎么说？", "我喜欢读书用英语怎么说？", "把我喜欢读书翻译成英文。", "把'我喜欢读书'翻译成英文",
         "翻译：我喜欢读书", "请翻译成英文：我喜欢读书。", "把「我喜欢读书」翻译成英文", "把\"我喜欢读书\"翻译成英文"),
        "I like reading books.", ("读书", "英文"), 2,
    ),
    Question(
        "translate_reading", "The user wants a sentence about reading in English.", "en",
        ("Translate 我喜欢读书 into English.", "Translate \"我喜欢读书\" into English.", "What does 我喜欢读书 mean in English?",
         "Translate into English: 我喜欢读书", "Translate “我喜欢读书” to English.", "What does 我喜欢读书 mean?"),
        "I like reading books.", ("读书",),
    ),
    Question(
        "walk", "The user asks about a walk that goes east, north and west.", "en",
        ("I walk 3 km east, 4 km north and 3 km west. How far am I from the start?",
         "If I walk 3 km east, 4 km north, then 3 km west, how far am I from the start?",
         "Walk 3 km east, 4 km north, 3 km west: how far from the start?",
         "A person walks 3 km east, then 4 km north, then 3 km west. How far are they from the starting point?",
         "I walk 3 km east, then 4 km north, then 3 km west. How far am I from where I started?",
         "You walk 3 km east, 4 km north, then 3 km west. How far are you from your starting point?",
         "A man walks 3 km east, 4 km north and 3 km west. How far is he from the start?",
         "Someone walks 3 kilometers east, 4 kilometers north and 3 kilometers west. How far from the start are they?",
         "I walk 3 km east, 4 km north, 3 km west. How far am I from my starting point?"),
        "You are 4 km from the start: east and west cancel out, and 4 km north remain.", ("north",), 2,
    ),
    Question(
        "walk", "The user asks about a walk that goes east, north and west.", "zh",
        ("我向东走3公里，再向北走4公里，再向西走3公里，离起点多远？", "向东走3公里，向北走4公里，再向西走3公里，离起点多远？",
         "一个人先向东走3公里，再向北走4公里，最后向西走3公里，他离起点有多远？", "向东3公里，向北4公里，向西3公里，现在离起点多远？",
         "小明向东走3公里，向北走4公里，然后向西走3公里，他离起点多远？", "先往东走3公里，再往北走4公里，再往西走3公里，距离起点多远？",
         "向东走3千米，再向北走4千米，再向西走3千米，离出发点多远？"),
        "离起点4公里：东西方向互相抵消，只剩下向北的4公里。", ("北",), 2,
    ),
    Question(
        "fibonacci", "The user wants a Fibonacci function.", "en",
        ("Write a Python function that computes the Fibonacci sequence.", "Write a Python Fibonacci function.",
         "Write a Fibonacci function in Python.", "Write a Python function for the Fibonacci numbers.",
         "Write a Python function that returns the nth Fibonacci number.", "Give me a Python function for Fibonacci.",
         "Implement Fibonacci in Python.", "Show me a Fibonacci function in Python.", "Python Fibonacci function",
         "Write a function in Python to compute Fibonacci numbers.", "Code a Fibonacci function in Python.",
         "Write a Python function to calculate the n-th Fibonacci number.", "Create a Python function that computes Fibonacci numbers."),
        FIBONACCI, ("Fibonacci",), 2,
    ),
    Question(
        "fibonacci", "The user wants a Fibonacci function.", "zh",
        ("用 Python 写一个斐波那契函数。", "写一个计算斐波那契数列的 Python 函数。", "请用Python写一个斐波那契数列函数",
         "用Python实现斐波那契数列。", "写一个斐波那契函数", "用 Python 实现斐波那契数列", "写一个Python函数计算斐波那契数列。",
         "用Python写斐波那契", "给我一个斐波那契数列的Python函数"),
        FIBONACCI, ("斐波那契",), 2,
    ),
    Question(
        "reverse", "The user wants a function that reverses a string.", "en",
        ("Write a Python function that reverses a string.", "Write a Python function to reverse a string.",
         "Reverse a string in Python.", "How do I reverse a string in Python?", "Give me a Python function that reverses a string.",
         "Write a function that reverses a string in Python.", "Show me how to reverse a string in Python.",
         "Implement a string reverse function in Python.", "Python function to reverse a string"),
        REVERSE, ("reverse", "reverses"), 2,
    ),
    Question(
        "reverse", "The user wants a function that reverses a string.", "zh",
        ("用 Python 写一个反转字符串的函数。", "写一个反转字符串的 Python 函数。", "请用Python写一个反转字符串的函数",
         "用Python反转字符串。", "如何用 Python 反转字符串？", "写一个Python函数来反转字符串。", "用Python写一个函数，把字符串反转。"),
        REVERSE, ("反转",), 2,
    ),
    Question(
        "hello_world", "The user wants a program that prints a greeting.", "en",
        ("Write hello world in Python.", "Write a hello world program in Python.", "Print hello world in Python.",
         "Show me hello world in Python.", "Hello world in Python"),
        HELLO_WORLD, ("world",),
    ),
    Question(
        "hello_world", "The user wants a program that prints a greeting.", "zh",
        ("用 Python 写 hello world。", "用Python写一个hello world程序", "用 Python 打印 hello world。", "写一个 Python 的 hello world"),
        HELLO_WORLD, ("world",),
    ),
    Question(
        "ai_person", "The user asks if an AI is a legal person.", "en",
        ("Is AI a legal person?", "Should AI be a legal person?", "Should AI have legal personhood?",
         "Is an AI a legal person?", "Should artificial intelligence have legal personhood?", "Can AI be a legal person?",
         "Do you think AI should be a legal person?", "Should AI be granted legal personhood?",
         "Is artificial intelligence a legal person?", "Should AI systems have legal rights?"),
        "Today AI is not a legal person: people and companies answer for what it does. "
        "Some propose a limited status, others fear that nobody would be responsible any more.", ("AI", "legal"), 2,
    ),
    Question(
        "ai_person", "The user asks if an AI is a legal person.", "zh",
        ("人工智能应该有法律人格吗？", "人工智能应该有法律人格吗", "AI 应该有法律人格吗？", "人工智能是法律上的人吗？", "AI是法律主体吗？",
         "是否应该赋予人工智能法律人格？", "人工智能应该拥有法律人格吗？", "人工智能是不是法律主体？", "你认为人工智能应该有法律人格吗？"),
        "目前人工智能没有法律人格，由人和公司为它的行为负责。有人主张给它有限的地位，也有人担心这样就没有人负责了。",
        ("法律",), 2,
    ),
    Question(
        "lie", "The user asks if a lie can be right.", "en",
        ("Is it ever right to lie?", "Is it okay to lie?", "Is lying always wrong?", "Can a lie be right?"),
        "Most people hold that a lie is wrong, and that a small one to protect somebody from harm may be forgiven.", ("lie",),
    ),
    Question(
        "lie", "The user asks if a lie can be right.", "zh",
        ("说谎有时是对的吗？", "可以说谎吗？", "说谎总是错的吗？", "撒谎对吗？"),
        "多数人认为说谎是错的，但为了保护别人而说的小谎可以原谅。", ("说谎",),
    ),
)  # fmt: skip
