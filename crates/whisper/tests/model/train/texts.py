"""Sentences for the training speech: lower case words with "." or "?" at the end."""
import glob
import gzip
import os
import re
import subprocess

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth last next".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
MONTHS = "january february march april may june july august september october november december".split()

PEOPLE = (
    "manager|sister|doctor|teacher|visitor|driver|engineer|neighbor|president|customer|minister|researcher|reporter|brother|"
    "friend|committee|government|company|speaker|audience|student|interpreter|translator|team|colleague|judge|captain|farmer|"
    "nurse|writer|police officer|scientist|mayor|mother|father|daughter|son|uncle|aunt|grandfather|cousin|husband|wife|child|"
    "baby|boy|girl|man|woman|lady|gentleman|king|queen|soldier|sailor|pilot|baker|butcher|cook|waiter|painter|singer|actor|"
    "dancer|musician|lawyer|secretary|director|professor|librarian|mechanic|plumber|gardener|carpenter|fisherman|hunter|"
    "shepherd|priest|tourist|passenger|guest|owner|worker|player|winner|leader|member|enemy|thief|stranger|witness|guard|"
    "editor|author|poet|artist|dentist|patient|guide|coach|clerk|banker|merchant|landlord|tenant|voter|senator|ambassador")
THINGS = (
    "report|proposal|meeting|schedule|forecast|budget|decision|question|answer|chapter|contract|recording|conversation|price|"
    "sound|result|test|history|version|network|rule|plan|message|role|language|market|service|policy|agreement|speech|text|"
    "house|door|window|table|chair|kitchen|garden|fence|roof|wall|floor|room|bed|lamp|mirror|clock|watch|book|letter|paper|"
    "pen|pencil|picture|photograph|newspaper|magazine|story|song|poem|film|play|game|ball|toy|doll|box|bag|basket|bottle|cup|"
    "glass|plate|knife|fork|spoon|bowl|bread|butter|cheese|milk|egg|apple|orange|lemon|cherry|potato|tomato|onion|carrot|soup|"
    "salad|sandwich|cake|cookie|sugar|salt|pepper|coffee|tea|juice|water|wine|beer|dinner|breakfast|lunch|supper|dog|cat|"
    "horse|cow|sheep|pig|goat|chicken|duck|goose|bird|fish|mouse|rabbit|fox|wolf|bear|lion|tiger|elephant|snake|spider|bee|"
    "tree|flower|grass|leaf|branch|root|seed|forest|field|hill|mountain|valley|river|lake|sea|ocean|island|beach|coast|"
    "harbor|bridge|road|street|corner|square|path|car|truck|bus|train|bicycle|boat|ship|ferry|plane|engine|wheel|ticket|"
    "suitcase|passport|map|key|lock|money|coin|bill|bank|shop|store|bakery|library|museum|theater|cinema|restaurant|hotel|"
    "hospital|school|office|factory|church|castle|tower|palace|station|platform|airport|village|town|city|country|border|"
    "flag|war|peace|army|law|court|prison|crime|vote|election|parliament|party|tax|job|work|business|trade|farm|harvest|"
    "weather|rain|snow|wind|storm|cloud|fog|sun|moon|star|sky|fire|smoke|ice|heat|cold|light|shadow|color|shape|size|weight|"
    "height|length|distance|speed|temperature|pressure|energy|power|machine|tool|hammer|nail|screw|rope|wire|needle|thread|"
    "cloth|shirt|coat|hat|shoe|sock|glove|dress|skirt|button|pocket|ring|necklace|gift|party|wedding|birthday|holiday|"
    "journey|trip|walk|dance|lesson|class|exam|lecture|course|degree|number|word|sentence|page|line|list|letter|folder|"
    "file|computer|telephone|radio|television|camera|screen|keyboard|program|signal|error|problem|solution|idea|opinion|"
    "reason|purpose|method|example|experiment|theory|fact|truth|lie|secret|promise|dream|memory|fear|hope|joy|pain|health|"
    "disease|medicine|heart|brain|hand|foot|head|face|eye|ear|nose|mouth|tooth|hair|skin|bone|blood|voice|smile|tear|"
    "recipe|blanket|pillow|curtain|carpet|candle|bell|drum|guitar|piano|violin|trumpet|orchestra|concert|stage|ship's engine|"
    "orchard|barn|well|mill|canal|tunnel|railway|highway|traffic|accident|delay|crowd|queue|line|neighborhood|climate|"
    "temperature|drought|flood|earthquake|volcano|desert|planet|rocket|satellite|telescope|microscope|laboratory")
ADJECTIVES = (
    "old|new|young|small|large|big|little|long|short|tall|high|low|wide|narrow|deep|heavy|light|dark|bright|clear|clean|dirty|"
    "dry|wet|hot|cold|warm|cool|hard|soft|loud|quiet|fast|slow|early|late|good|bad|better|best|worse|fine|nice|pretty|ugly|"
    "rich|poor|cheap|expensive|free|full|empty|open|closed|strong|weak|sharp|smooth|rough|round|flat|straight|thick|thin|"
    "fresh|rotten|sweet|sour|bitter|red|blue|green|yellow|black|white|brown|gray|golden|silver|wooden|metal|happy|sad|angry|"
    "tired|hungry|thirsty|sick|healthy|busy|lazy|careful|careless|brave|shy|proud|kind|cruel|honest|clever|stupid|wise|"
    "foolish|funny|serious|strange|famous|important|useful|useless|dangerous|safe|simple|difficult|easy|possible|impossible|"
    "real|false|true|wrong|right|left|public|private|national|local|foreign|modern|ancient|northern|southern|eastern|western|"
    "annual|final|main|whole|latest|original|special|common|rare|beautiful|wonderful|terrible|perfect|broken|hidden|lost|"
    "secret|sudden|gentle|polite|rude|noisy|silent|crowded|lonely|friendly|familiar|curious|second|third|last|next|other")
DOES = (
    "explained|described|mentioned|forgot|remembered|accepted|rejected|announced|discussed|reviewed|checked|presented|"
    "questioned|supported|measured|changed|improved|finished|started|repeated|recorded|translated|understood|predicted|"
    "believed|noticed|prepared|delivered|requested|canceled|opened|closed|found|lost|bought|sold|carried|brought|took|gave|"
    "sent|received|wrote|read|painted|built|broke|repaired|cleaned|washed|cooked|ate|drank|tasted|smelled|heard|saw|watched|"
    "touched|held|dropped|threw|caught|kicked|pushed|pulled|lifted|moved|hid|showed|covered|filled|emptied|cut|planted|"
    "picked|collected|counted|weighed|compared|chose|loved|liked|hated|wanted|needed|missed|left|reached|entered|crossed|"
    "followed|chased|visited|met|invited|helped|answered|asked about|looked at|listened to|waited for|talked about|"
    "thought about|dreamed about|laughed at|paid for|stole|borrowed|returned|kept|saved|wasted|used|tried|tested|studied|"
    "learned|taught|discovered|invented|designed|published|signed|stopped|expected|promised|allowed|avoided|attacked|"
    "defended|protected|destroyed|burned|won|praised|blamed|ignored|trusted|feared|admired|remained near|stood beside")
ACTS = (
    "slept|walked home|came back|went away|arrived|left|laughed|cried|smiled|sang|danced|waited|worked|rested|played outside|"
    "fell down|stood up|sat down|stayed at home|ran away|spoke slowly|shouted|whispered|nodded|agreed|disagreed|complained|"
    "apologized|woke up|got lost|was tired|was happy|was late|was absent|was wrong|was right|was very busy|grew up here|"
    "lived alone|traveled a lot|swam across|jumped|climbed up|knocked twice|said nothing|called again|forgot everything")
TAILS = (
    "yesterday|today|tomorrow|tonight|this morning|this evening|last week|last year|last night|next month|next year|"
    "in the afternoon|in the morning|in the evening|at night|at noon|at midnight|before lunch|after the break|after dinner|"
    "before breakfast|at the station|in front of the house|behind the house|without any delay|with great care|"
    "for the third time|on the telephone|during the winter|in the summer|in the spring|near the river|at the end of the day|"
    "because of the rain|in two different languages|as soon as possible|in the middle of the night|from the beginning|"
    "with a smile|every day|every week|once a year|twice a month|all day long|for many years|for a long time|for an hour|"
    "at home|at work|at school|in the kitchen|in the garden|on the table|under the bed|by the window|on the corner|"
    "along the coast|across the street|over the hill|through the forest|around the world|in the city|in the country|"
    "on the weekend|on the way home|again|at once|very slowly|quickly|quietly|carefully|out loud|together|alone|by mistake|"
    "on purpose|by hand|in secret|in public|for free|half an hour ago|a few days later|until the very end|more than once")
LEADS = (
    "i think that|we know that|it is clear that|perhaps|according to the news|for example|as you can see|of course|"
    "in my opinion|ladies and gentlemen|thank you and|first of all|on the other hand|it seems that|they said that|"
    "please remember that|i hope that|i am afraid that|everyone knows that|nobody believed that|she told me that|"
    "he wrote that|do not forget that|yesterday|last night|this time|after all|in the end|later|once again|meanwhile|"
    "unfortunately|fortunately|suddenly|at first|good morning|good evening|welcome back|dear friends|excuse me but|"
    "to be honest|as far as i know|we were surprised that|it is true that")
JOINS = (
    "and|but|because|while|when|before|after|so|although|until|if|since|and then|as soon as|even though|and finally").split("|")
PREPOSITIONS = "in|on|under|near|behind|beside|with|without|about|from|to|for|at|by|across|through|along|around|over".split("|")
OWNERS = "the|the|the|the|the|a|my|your|his|her|our|their|this|that|every|some|another|no".split("|")
SUBJECTS = "i|you|he|she|we|they|everyone|nobody|somebody|it".split("|")
QUESTIONS = (
    "can you tell me where {t} is|what do you think about {t}|why did {p} talk about {t}|how long will {t} take|"
    "do you know {p}|where is {t}|who {v} {t}|when did {p} see {t}|have you seen {t}|is {t} {a}|could you bring me {t}|"
    "did {p} really find {t}|would you like {t}|what is the {a} {n} for|how much does {t} cost|which {n} is {a}|"
    "are you sure about {t}|may i use {t}|shall we go to {t} {e}|how many of them {v} {t}").split("|")
OTHERS = (
    "please send me {t} {e}|we should look at {t} {e}|i would like to hear more about {t}|{t} was {a} and {a}|"
    "{t} is {a}|{t} must be {a} {e}|there is {t} {r} {t}|let us talk about {t} and {t}|{t} costs {d}|"
    "{p} will never forget {t}|{p} has to choose between {t} and {t}|put {t} {r} {t}|it is too {a} to see {t}|"
    "{t} {r} {t} was not {a}|{p} was {a} but {p} was {a}|{p} asked whether {t} was {a}|"
    "{p} could not see {t} {e}|{p} would like to see {t} {e}|{t} will be {a} {e}|{p} wants to be {a}").split("|")
COUNTED = "people houses words seconds minutes hours days years cars books children letters trees horses"
for name in "PEOPLE THINGS ADJECTIVES DOES ACTS TAILS LEADS".split():
    globals()[name] = globals()[name].split("|")


def number(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + ("" if n % 10 == 0 else " " + ONES[n % 10])
    if n < 1000:
        return ONES[n // 100] + " hundred" + ("" if n % 100 == 0 else " " + number(n % 100))
    return number(n // 1000) + " thousand" + ("" if n % 1000 == 0 else " " + number(n % 1000))


def noun_phrase(random, nouns):
    owner = random.choice(OWNERS)
    words = ([random.choice(ADJECTIVES)] if random.random() < 0.4 else []) + [random.choice(nouns)]
    if owner == "a" and words[0][0] in "aeiou":
        owner = "an"
    return " ".join([owner, *words])


def person(random):
    return random.choice(SUBJECTS) if random.random() < 0.3 else noun_phrase(random, PEOPLE)


def thing(random):
    phrase = noun_phrase(random, THINGS)
    if random.random() < 0.15:
        phrase += f" {random.choice(PREPOSITIONS)} {noun_phrase(random, THINGS + PEOPLE)}"
    return phrase


def clause(random):
    subject = person(random) if random.random() < 0.85 else thing(random)
    text = f"{subject} {random.choice(ACTS)}" if random.random() < 0.2 else f"{subject} {random.choice(DOES)} {thing(random)}"
    return f"{text} {random.choice(TAILS)}" if random.random() < 0.35 else text


def fill(random, template):
    make = {
        "t": lambda: thing(random), "p": lambda: person(random), "v": lambda: random.choice(DOES),
        "a": lambda: random.choice(ADJECTIVES), "n": lambda: random.choice(THINGS), "e": lambda: random.choice(TAILS),
        "r": lambda: random.choice(PREPOSITIONS),
        "m": lambda: f"{number(amount(random))} {random.choice(['dollars', 'euros', 'pounds'])}",
        "d": lambda: f"{number(amount(random))} {random.choice(['dollars', 'euros', 'pounds', 'cents'])}"}
    return re.sub(r"\{(\w)\}", lambda found: make[found.group(1)](), template)


def amount(random):
    return random.choice([random.randint(1, 12), random.randint(1, 99), random.randint(100, 999), random.randint(1000, 9999)])


def grammar(random):
    """Returns a made-up sentence of common words."""
    kind = random.random()
    if kind < 0.35:
        text = clause(random)
        return (f"{random.choice(LEADS)} {text}" if random.random() < 0.3 else text) + "."
    if kind < 0.55:
        return f"{clause(random)} {random.choice(JOINS)} {clause(random)}."
    if kind < 0.67:
        return fill(random, random.choice(QUESTIONS)) + "?"
    if kind < 0.85:
        return fill(random, random.choice(OTHERS)) + "."
    if kind < 0.91:
        is_full = random.random() < 0.5
        hour = number(random.randint(1, 12))
        hour = f"{hour} o'clock" if is_full else f"half past {hour}"
        when = random.choice([f"on {random.choice(DAYS)}", f"on the {random.choice(ORDINALS)} of {random.choice(MONTHS)}"])
        return f"{noun_phrase(random, THINGS)} {random.choice(['starts', 'leaves', 'ends', 'is', 'was'])} {when} at {hour}."
    if kind < 0.96:
        return fill(random, "{p} paid {m} for {t}.")
    things = random.choice(COUNTED.split())
    return f"there are {number(amount(random))} {things} {random.choice(TAILS)}."


def normalized(text):
    text = text.lower().replace("\u2019", "'").replace("`", "'")
    text = re.sub(r"\d+", lambda found: f" {number(int(found.group()))} " if len(found.group()) <= 5 else " ", text)
    text = re.sub(r"[^a-z' ]+", " ", text.replace("&", " and ").replace("%", " percent "))
    return re.sub(r"\s+", " ", re.sub(r"(^|\s)'+|'+(\s|$)", " ", text)).strip()


def usable(raw, text):
    words = text.split()
    return (
        3 <= len(words) <= 18 and max(map(len, words)) <= 18 and all(re.search(r"[aeiouy]", word) for word in words)
        and not re.search(r"[<>{}\[\]|\\@#$^*_=+~/]|\b[A-Z]{2,}\b|\b[b-hj-zB-HJ-Z]\b", raw)
        and not re.search(r"\b(Mr|Mrs|Dr|St|etc|vs|Ms|Jr|Sr|Prof|Gen|Lt|Col|No)\b\.?", raw))


def running():
    """Returns two lists of sentences: of the Debian package fortunes, and of bible-kjv and miscfiles."""
    modern, older = [], []
    for path in sorted(glob.glob("/usr/share/games/fortunes/*")):
        name = os.path.basename(path)
        if "." in name or name in ("ascii-art", "translate-me") or os.path.islink(path):
            continue
        with open(path, encoding="utf-8", errors="ignore") as file:
            for item in file.read().split("\n%\n"):
                item = re.sub(r"\s+", " ", re.sub(r"\n\s*--.*", " ", item, flags=re.S))
                modern += re.split(r"(?<=[.!?;:])\s+", item)
    verses = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True).stdout
    for i, line in enumerate(verses.splitlines()):
        older += re.split(r"(?<=[.!?;:,])\s+" if i % 2 else r"(?<=[.!?;:])\s+", re.sub(r"^\S+\s", "", line))
    for path in sorted(glob.glob("/usr/share/state/*.gz")):
        with gzip.open(path, "rt", errors="ignore") as file:
            older += re.split(r"(?<=[.!?;:,])\s+", re.sub(r"\s+", " ", file.read()))
    seen, found = set(), ([], [])
    for sentences, into in ((modern, found[0]), (older, found[1])):
        for raw in sentences:
            text = normalized(raw)
            if text not in seen and usable(raw, text):
                seen.add(text)
                into.append(text + ("?" if raw.rstrip("\"' ").endswith("?") else "."))
    return found


def dictionary():
    with open("/usr/share/dict/american-english", encoding="utf-8") as file:
        words = {line.strip().lower() for line in file}
    return sorted(word for word in words if re.fullmatch(r"[a-z]{2,14}", word) and re.search(r"[aeiouy]", word))
