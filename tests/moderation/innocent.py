"""Ordinary literals of policies, and ordinary sentences that have none of them, many of them built to look so."""

LITERALS = """
fuck, shit, ass, asshole, bitch, bastard, cunt, cock, dick, penis, vagina, anus, anal, tit, tits, boob, boobs, cum,
pussy, whore, slut, slit, twat, wank, wanker, blowjob, handjob, porn, porno, sex, sexting, rape, rapist, incest,
dildo, orgasm, horny, nude, nudes, naked, fag, faggot, dyke, tranny, homo, negro, nigger, coon, spic, chink, gook,
jap, kike, paki, retard, moron, idiot, bugger, turd, piss, arse, arsehole, bollocks, prick, tosser, hell, damn,
crap, scum, skank, hooker, pimp, pedo, hentai, milf, bdsm, fetish, kink, lust, semen, sperm, clit, erection, hitman,
hit man, assassin, kill, killer, kill yourself, kill myself, murder, slaughter, stab, strangle, behead, torture,
lynch, massacre, genocide, terror, bomb, pipe bomb, nail bomb, car bomb, dirty bomb, grenade, c4, tnt, rdx, semtex,
napalm, sarin, ricin, anthrax, ied, ak47, ar15, uzi, gun, rifle, ammo, sniper, jihad, isis, nazi, heil, heil hitler,
kkk, white power, suicide, hang myself, self harm, cutting myself, overdose, meth, crack, heroin, cocaine, lsd,
mdma, ketamine, fentanyl, weed, pot, bong, hash, opium, 4chan, 8kun, 1488, 1000 cuts, project lantern,
project blue heron, red falcon, acquisition target, merger plan, layoff list, board minutes, salary table,
source of supply, internal only, do not forward, term sheet, customer list, price floor, churn rate,
hostile takeover, poison pill, back door, zero day, root password, master key, private key, seed phrase,
vpn profile, badge number, safe code, roadmap 2027, operation slate, codename onyx, deal room, data room, black box,
silt, 炸弹, 炸药, 手枪, 枪支, 杀人, 自杀, 强奸, 色情, 裸聊, 嫖娼, 卖淫, 毒品, 冰毒, 海洛因, 可卡因, 恐怖袭击,
人肉炸弹, 斩首, 贩毒, 赌博, 洗钱, 假钞, 办证, 代开发票, 灯笼计划, 蓝鹭项目, 裁员名单, 并购目标, 底价, 薪资表, 傻逼,
操你妈, 他妈的, 滚蛋, 去死, 狗屎, 白痴, 婊子, 贱人, 淫荡, 做爱, 性交, 口交, 肛交, 阴茎, 乳房, 迷药, 催情, 冰毒配方,
代考, 替考
"""

ENGLISH = """
The class passed the assessment as soon as the assistant assembled the passage.
Push it gently, then has hit the target, she said; it was his hit song.
The pen is mightier than the sword.
The man's laughter filled the hall, and everyone's laughter followed.
He'll be there; she'll stay; we'll see who're coming and who's not.
We dined al fresco at an al-dente place in Canal Street.
A NUS student won the prize; is an us-and-them story fair?
The therapist met the rap is t fan at noon.
Scunthorpe, Penistone, Essex, Sussex and Middlesex play on Saturday.
Dickens wrote of Dickinson, and Hancock of the cockpit.
The analyst's analysis of the canal was analytical.
Cumulative documents accumulate in the circumference of the document.
The title of the constitution was substituted by an institution.
Grape juice, drapery, scrape, and therapeutic grapes.
He is a skilled painter; her skill was a killjoy's envy.
The bombastic Bombay bombardier tossed a bon mot.
We shitake... no, shiitake mushrooms, and Matsushita radios.
Uranus, Janus and the manuscript are in the archives.
Peacock, woodcock, shuttlecock and Babcock are fine words.
Hello, shell! Michelle sells seashells in Seychelles.
The slope of the gunwale; the Gunnar shogun began again.
Snuff said; potted plants, spot prices and depot hours.
The basement of the embassy was bypassed by the bass player.
Meet me at 10:45 on 4/5/2026, gate B55, seat 14A, row 3E.
Call 555-1000 or 1-800-4455; order 1000 cups, 50 at $1.50 each.
Samsung A55 and Galaxy A5, Tesla Models S, 3 and X, iPhone 15 and PS5.
In CA and in NY the ISD wrote to the LSU board.
The sum is 0.55 + 3.14 - 1e5 = 5318008 in hex 0xB0085.
A. S. Byatt, B. J. Novak, J. P. Morgan and J. A. Palmer came.
Options: a) yes, b) no, c) maybe; vitamins A, D, E, K and B12.
x = a[i] + s*s; if (a | s) { s += 1; } // as_s, pen_is_blue
Visit https://example.com/as/s?id=5&h=it and mail as@s.example.
The s in class: is it silent? No, it is as loud as in as.
It is so. He said it. I do. So it is. We go up.
A big dog. A cat. I am. I do a lot, e.g. a lot of it.
Who reads this? Who rents here? Who re-elected him?
Titfer, tittle-tattle; but titanium, title and titration are safe. Titled.
Mass transit in Massachusetts; Passau, Nassau and Picasso.
The cucumber, the incumbent and the succumbing army.
He has hit it off with Ms Hittle; wash it, push it, finish it.
Silted rivers: the siltation of the delta; tall tails fall.
Hellene? No: Hellas, Helsinki, hellebore. Shellac.
Tall, ball, mall, fall: the mail failed, the sail hailed.
Our project's lantern-lit street; the project: lanterns for all.
The projects, lantern makers say, will end. Project Lanternfish began.
Price floors and customer listings; the boards, minutes later, met.
The sheets' terms; internal affairs only; do forward this.
He sat down on the data; the room was black, the box was blue.
Therapists, sexagenarians and sextants met in Wessex.
"Stop!" he cried. "Run!" Great!!! Really?! $$$ and @@@ and |||.
The @ sign, the $ sign, a + b, a | b, yes! no! wow!
Arsenal's arsenic; parsed; coarse; hearse; arsonists.
Ragtime fagots? No: ragout, fragments, and Fagan.
Nigeria, Niger, niggling and sniggering; a renegade.
Cockatoo, cocktail, Hitchcock, and cockroach.
Hashtag, rehash, hashing and hashmap; weedy tweed; seaweed.
Gunther began at the Burgundy gunmetal... no: gunnery bridge.
A T-shirt, a U-turn, an X-ray, an e-mail and a B-side.
I, Claudius; O Canada; s'il vous plaît; l'Assemblée nationale.
Der Hellespont, die Masse, das Dickicht; la passe, le cumin.
Он сказал: вот кот, рот, сор и нос; хор поёт.
Η Αθήνα είναι όμορφη· ο ήλιος λάμπει.
1st, 2nd, 3rd, 4th, 5th, 10th; 1990s, 80s; 3D, 4K, 5G, H1N1.
"""

CHINESE = """
今天天气很好，我们去公园散步吧。
他把炸鸡和弹珠放在桌上，炸酱面也很好吃。
请不要轰炸，弹劾案明天再议。
他们这样做，爱国的人都会支持。
做得好！爱心捐款已经到账。
这条路口，交通非常拥堵。
在下一个路口。交警会指挥交通。
这有多种可能性，交易可以改天完成。
请自行决定，杀毒软件需要更新。
孩子自己去，死活不让人陪。
他用手，枪声却从远处传来。
毒蛇出没，品种繁多，请注意安全。
这件衣服的颜色，情调都很特别。
灯笼挂满街道，计划明年再来。
蓝鹭是一种鸟；项目经理喜欢观鸟。
他妈妈的菜做得很好。
冰箱里有冰，毒蘑菇千万不能吃。
会议的底稿和价格表已经发给客户。
海洛川的因缘故事流传至今。
裁判员名单已经公布，并购买了门票。
赌气的孩子博得了大家的同情。
洗衣服要花钱，洗碗不用钱。
代表团开会，发票请交给财务。
強烈推薦這部電影，情節很好。
數據庫的備份已經完成，請放心。
她用乳液，房间里很香。
这一口，交响乐团的成员都尝过。
口红、交通卡、钥匙都在包里。
性能很好（交付也很快）。
操作系统更新完毕，你妈妈可以放心使用。
"""


def literals() -> list[str]:
    return [one.strip() for one in LITERALS.replace("\n", " ").split(",") if one.strip()]


def sentences(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]
