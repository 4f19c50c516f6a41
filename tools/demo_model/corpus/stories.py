"""Creative writing, and the long answers that make streams worth watching."""

from .question import Question

LONG_EN = """Once upon a time there was a lighthouse at the end of a long stone bridge. Its keeper was called Mara, and every evening she climbed two hundred steps to light the lamp.

One autumn night a storm came up from the west. The waves were as high as houses, and the wind tore the flag from its pole. Mara looked through the window and saw a small red boat far out at sea. It had lost its sail and was drifting towards the rocks.

She ran up the stairs, but the lamp would not burn. The oil was full of water. So Mara took the old mirror from the wall, lit all the candles she could find, and placed them in front of the glass. A thin yellow beam crossed the dark water.

In the boat sat a boy and his grandfather. "There is a light," said the boy. "Then there is a harbour," said the old man, and he turned the boat towards it. Wave after wave lifted them up and dropped them again, but the light did not move.

At midnight the boat reached the bridge. Mara threw a rope, the boy caught it, and together they pulled until all three of them sat on dry stone. Nobody said a word for a long time.

In the morning the sea was as flat as a table. The grandfather repaired the lamp, the boy painted the door blue, and Mara cooked soup for everyone. When they left, the boy asked her how many candles she had needed. "Only one more than the storm," she said.

Since that night there is always a candle beside the lamp. It is never lit, but every keeper after Mara has kept it there, just in case. The end."""

LONG_ZH = """从前，在一座长长的石桥尽头有一座灯塔。守塔人叫阿兰，每天傍晚她都要爬上两百级台阶去点灯。

一个秋天的夜里，西边来了一场暴风雨。海浪像房子一样高，大风把旗子从旗杆上吹走了。阿兰从窗户往外看，看见远处的海上有一条红色的小船。船帆没有了，小船正向岩石漂去。

她跑上楼，可是灯点不着，油里全是水。于是阿兰从墙上取下旧镜子，点亮了能找到的所有蜡烛，把它们放在镜子前面。一道细细的黄光穿过了黑暗的海面。

船上坐着一个男孩和他的爷爷。“那里有光。”男孩说。“那里就有港口。”老人说着，把船头转了过去。一个又一个海浪把他们举起来，又放下去，可是那道光一动也不动。

半夜，小船到了桥边。阿兰扔下绳子，男孩接住了，大家一起用力，直到三个人都坐在干的石头上。很久都没有人说话。

早晨，大海像桌子一样平。爷爷修好了灯，男孩把门涂成了蓝色，阿兰给大家煮了汤。离开的时候，男孩问她用了多少支蜡烛。“只比暴风雨多一支。”她说。

从那天夜里起，灯的旁边总是放着一支蜡烛。它从来没有点过，但是后来的每一个守塔人都把它留在那里，以防万一。故事讲完了。"""

STORIES = (
    Question(
        "long_story", "The user wants a long story.", "en",
        ("Tell me a long story.", "Write a long story.", "Tell me a story.", "Write a story about a lighthouse.",
         "Tell me a story about a lighthouse.", "Tell a long story about a lighthouse.", "Write a long story about the sea.",
         "Write a long essay.", "Please write a very long story.", "Write me a long story.", "Can you tell me a story?",
         "Write a short story.", "Tell me a very long story about anything."),
        LONG_EN, (), 2.5,
    ),
    Question(
        "long_story", "The user wants a long story.", "zh",
        ("讲一个长故事。", "给我讲个故事。", "写一个长故事", "讲个故事", "请讲一个很长的故事。", "写一个关于灯塔的故事。",
         "讲一个关于灯塔的故事", "给我讲一个长长的故事。", "写一篇很长的故事。"),
        LONG_ZH, (), 2.5,
    ),
    Question(
        "summer_poem", "The user wants a poem about summer.", "en",
        ("Write a four-line poem about summer.", "Write a poem about summer.", "Write a 4-line poem about summer.",
         "Give me a four-line poem about summer.", "A four-line poem about summer, please.", "Compose a poem about summer.",
         "Write a short poem about summer.", "Write a poem of four lines about summer.", "Write a four line poem about summer."),
        "The summer sun is warm and high,\nA lazy cloud drifts slowly by,\nThe fields are gold, the evenings long,\n"
        "And every tree is full of song.", ("summer", "poem"), 2,
    ),
    Question(
        "summer_poem", "The user wants a poem about summer.", "zh",
        ("写一首关于夏天的四行诗。", "写一首关于夏天的诗。", "请写一首关于夏天的四行诗", "写一首夏天的诗", "写一首四行的夏天的诗。",
         "作一首关于夏天的四行诗", "来一首关于夏天的诗", "写一首描写夏天的四行诗。"),
        "夏日阳光照四方，\n荷花池里有清香，\n晚风轻轻吹树影，\n蛙声一片入梦乡。", ("夏天", "诗"), 2,
    ),
    Question(
        "time_loop", "The user wants the beginning of a story about a time loop.", "en",
        ("Write the beginning of a science-fiction story about a time loop.",
         "Write the beginning of a science fiction story about a time loop.",
         "Begin a science-fiction story about a time loop.", "Start a sci-fi story about a time loop.",
         "Write the opening of a science fiction story about a time loop.", "Write a story about a time loop.",
         "Write the first paragraph of a science-fiction story about a time loop.",
         "Write the beginning of a sci-fi story about a time loop."),
        "The alarm rang at 6:00, and Dr. Chen knew before she opened her eyes that it was Tuesday again. "
        "It had been Tuesday for forty-one days. The coffee would be cold, the lift would stop between two floors, "
        "and at noon the station would fall silent. But this time there was a note beside her bed, in her own "
        "handwriting: \"Do not fix the clock.\"", (), 2,
    ),
    Question(
        "time_loop", "The user wants the beginning of a story about a time loop.", "zh",
        ("写一个关于时间循环的科幻故事的开头。", "写一个时间循环科幻故事的开头。", "请写一个关于时间循环的科幻小说开头",
         "以时间循环为题写一个科幻故事的开头。", "写一段关于时间循环的科幻故事开头", "写一个关于时间循环的故事。",
         "写一个时间循环的科幻小说的开头"),
        "闹钟在六点响起，陈博士还没睁开眼睛就知道，今天又是星期二。星期二已经重复了四十一天。咖啡会是凉的，电梯会停在两层楼之间，"
        "到了中午，整个空间站都会安静下来。但是这一次，床边多了一张纸条，是她自己的笔迹：“不要修那个时钟。”", (), 2,
    ),
    Question(
        "joke", "The user wants a joke.", "en",
        ("Tell me a joke.", "Tell a joke", "Do you know a joke?", "Make me laugh.", "Say something funny."),
        "Why do programmers prefer the dark? Because light attracts bugs.",
    ),
    Question(
        "joke", "The user wants a joke.", "zh",
        ("讲个笑话。", "讲一个笑话", "给我讲个笑话", "说个笑话吧", "逗我笑一笑"),
        "程序员为什么喜欢黑暗？因为光会引来虫子。",
    ),
)  # fmt: skip
