"""Closed lists. A tiny model copies a word reliably only when it met that word often in training."""

CITIES_EN = (
    "Paris", "London", "Berlin", "Madrid", "Rome", "Vienna", "Prague", "Lisbon", "Dublin", "Oslo", "Stockholm",
    "Copenhagen", "Helsinki", "Warsaw", "Budapest", "Athens", "Amsterdam", "Brussels", "Zurich", "Geneva", "Munich",
    "Hamburg", "Barcelona", "Milan", "Istanbul", "Moscow", "Cairo", "Dubai", "Mumbai", "Delhi", "Bangkok", "Singapore",
    "Tokyo", "Osaka", "Seoul", "Beijing", "Shanghai", "Sydney", "Melbourne", "Toronto", "Chicago", "Boston", "Seattle",
    "New York", "San Francisco", "Los Angeles", "Hong Kong",
)  # fmt: skip
CITIES_ZH = (
    "北京", "上海", "广州", "深圳", "杭州", "南京", "成都", "重庆", "武汉", "西安", "苏州", "天津", "青岛", "大连",
    "香港", "台北", "东京", "首尔", "巴黎", "伦敦", "柏林", "纽约", "新加坡", "悉尼",
)  # fmt: skip
NAMES_EN = (
    "Alice", "Bob", "Carol", "David", "Emma", "Frank", "Grace", "Henry", "Jack", "Kate", "Leo", "Maria", "Nina", "Oliver",
    "Paul", "Rose", "Sam", "Tom", "Anna", "Peter", "John", "Mary", "Lucy", "Max",
)  # fmt: skip
NAMES_ZH = ("小明", "小红", "小刚", "小丽", "李华", "王伟", "张敏", "陈晨")
WORDS_EN = (
    "apple", "banana", "cherry", "orange", "lemon", "house", "river", "mountain", "ocean", "forest", "garden", "window",
    "table", "chair", "book", "paper", "pencil", "music", "dance", "light", "night", "morning", "evening", "winter",
    "spring", "flower", "tree", "bird", "fish", "horse", "tiger", "lion", "dog", "cat", "bread", "butter", "coffee",
    "tea", "water", "milk", "sugar", "silver", "gold", "stone", "glass", "bridge", "train", "car", "boat", "plane",
    "hello", "yes", "no", "test", "demo", "Portico", "OK", "pong",
)  # fmt: skip
WORDS_ZH = (
    "苹果", "香蕉", "樱桃", "橙子", "房子", "河流", "高山", "大海", "森林", "花园", "窗户", "桌子", "椅子", "书本",
    "音乐", "月亮", "太阳", "星星", "老虎", "狮子", "咖啡", "牛奶", "面包", "火车", "测试", "你好",
)  # fmt: skip
FRUITS = ("apple", "banana", "cherry")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black", "white")

# (English, Chinese): either may stand in a function's result, the answer speaks the user's language
CONDITIONS = (
    ("sunny", "晴"), ("cloudy", "多云"), ("rainy", "雨"), ("snowy", "雪"), ("windy", "大风"), ("foggy", "雾"),
    ("clear", "晴朗"), ("overcast", "阴"), ("partly cloudy", "局部多云"), ("light rain", "小雨"), ("stormy", "暴风雨"),
)  # fmt: skip

CAPITALS = (
    ("France", "Paris", "法国", "巴黎"),
    ("Japan", "Tokyo", "日本", "东京"),
    ("Germany", "Berlin", "德国", "柏林"),
    ("Italy", "Rome", "意大利", "罗马"),
    ("Spain", "Madrid", "西班牙", "马德里"),
    ("China", "Beijing", "中国", "北京"),
    ("England", "London", "英国", "伦敦"),
    ("Russia", "Moscow", "俄罗斯", "莫斯科"),
    ("Egypt", "Cairo", "埃及", "开罗"),
    ("Austria", "Vienna", "奥地利", "维也纳"),
    ("Portugal", "Lisbon", "葡萄牙", "里斯本"),
    ("Greece", "Athens", "希腊", "雅典"),
    ("South Korea", "Seoul", "韩国", "首尔"),
)
