"""Grammar of plain English: 528 common words, 800 million sentences of 5 to 11 words."""

import math
import random
import re

_SLOT = re.compile(r"\{(\w+)\}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


_THINGS = _words(
    "apple bag basket bicycle blanket book bottle bucket button cake camera candle carpet chair"
    " clock coin computer cookie cup door drum egg flower guitar hammer hat jacket kettle key"
    " ladder lamp lantern lemon letter map mirror newspaper orange pencil picture pillow plate"
    " ring robot rope shirt spoon stone suitcase table telephone ticket toy umbrella violin wallet"
    " window"
)
_NUMBERS = _words(
    "three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
)
_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")

SLOTS: dict[str, tuple[str, ...]] = {
    "person": _words(
        "artist baker boy captain child cook doctor driver farmer girl hunter judge king lawyer"
        " man manager neighbor nurse painter pilot queen sailor singer soldier student teacher"
        " waiter woman writer"
    ),
    "kin": _words("aunt brother cousin daughter father friend mother sister son uncle"),
    "she": _words("alice anna emma helen julia laura mary sarah susan"),
    "he": _words("david henry james john martin peter robert simon thomas"),
    "animal": _words(
        "bear cat chicken cow dog donkey duck goat horse lion monkey parrot pigeon rabbit tiger"
        " turtle"
    ),
    "thing": _THINGS,
    "things": tuple(f"{thing}s" for thing in _THINGS),
    "like": _words(  # what a thing may be like
        "beautiful broken cheap clean dirty empty expensive famous heavy large lost new old round"
        " small square strange tiny ugly useful wooden"
    ),
    "color": _words("black blue brown golden gray green pink purple red silver white yellow"),
    "mood": _words(
        "angry brave careful clever friendly happy hungry kind lazy lonely nervous polite proud"
        " quiet sad tall thirsty tired young"
    ),
    "did": _words(
        "borrowed bought broke brought carried cleaned collected counted delivered dropped forgot"
        " found hid lost moved needed noticed painted photographed pulled pushed remembered"
        " repaired sold stole threw wanted washed"
    ),
    "do": _words(
        "borrow buy bring carry clean collect count deliver find hide keep move paint pull push"
        " repair sell use wash watch"
    ),
    "acted": _words(
        "arrived cried danced disappeared fell jumped laughed listened played rested sang shouted"
        " slept smiled stopped swam waited walked whispered worked"
    ),
    "how": _words("calmly carefully gently happily loudly quickly quietly sadly slowly suddenly"),
    "often": _words("always never often rarely sometimes usually"),
    "place": _phrases(
        "above the garage, across the street, along the beach, around the corner, at the airport,"
        " at the factory, at the harbor, at the hospital, at the market, at the museum,"
        " at the station, at the theater, behind the church, behind the house, beside the lake,"
        " between the mountains, by the fire, in the cellar, in the forest, in the garden,"
        " in the kitchen, in the library, in the office, in the tower, in the valley,"
        " in the village, inside the castle, near the bridge, near the river, near the school,"
        " on the hill, on the island, on the roof, outside the hotel, under the tree"
    ),
    "from": _words("bakery bank camp church factory garden hotel school station village"),
    "to": _words("airport beach bridge castle forest harbor hospital lake market museum river"),
    "city": _words("berlin boston chicago dublin london madrid moscow paris rome toronto vienna"),
    "past": _phrases(
        "yesterday, last night, last week, last month, last year, last summer, last winter,"
        " last spring, this morning, two days ago, a week ago, on monday, on tuesday,"
        " on wednesday, on thursday, on friday, on saturday, on sunday"
    ),
    "future": _phrases(
        "tomorrow, tonight, next week, next month, next year, this evening, this afternoon, soon,"
        " before lunch, after dinner, before monday, before tuesday, before wednesday,"
        " before thursday, before friday, before saturday, before sunday"
    ),
    "month": _words(
        "january february march april may june july august september october november december"
    ),
    "hour": _words("one two three four five six seven eight nine ten eleven twelve"),
    "daytime": _phrases("in the morning, in the afternoon, in the evening, at night"),
    "number": _NUMBERS + _TENS,
    "tens": _TENS,
    "digit": _words("one two three four five six seven eight nine"),
    "warmth": _words("cold cool freezing hot mild warm"),
    "sky": _words("cloudy dark dry foggy rainy stormy sunny wet windy"),
    "food": _words("bread butter cheese chocolate fish fruit honey meat rice salad soup"),
    "drink": _words("coffee juice milk tea water wine"),
}

TEMPLATES = (
    "the {mood} {person} {did} the {like} {thing} {place}",
    "{she} {did} {number} {things} {past}",
    "{he} {did} {number} {color} {things} {place}",
    "where did the {person} {do} the {color} {thing}",
    "please {do} the {like} {thing} {future}",
    "it was {warmth} and {sky} in {city} {past}",
    "the weather in {city} will be {warmth} and {sky} in {month}",
    "the {color} {animal} {acted} {place} {past}",
    "we {acted} {how} {place}",
    "how many {things} did {she} {do} {past}",
    "there are {number} {like} {things} {place}",
    "{he} and {she} will {do} the {thing} {future}",
    "my {kin} {often} drinks {drink} with {food} {daytime}",
    "the {mood} {animal} wants some {food} and {drink}",
    "the train to {city} leaves at {hour} {daytime}",
    "they {did} the {thing} because it was {like}",
    "can you {do} my {color} {thing} {future}",
    "{she} walked {how} from the {from} to the {to}",
    "the {color} {thing} costs {tens} {digit} dollars",
    "{he} is {tens} {digit} years old and lives in {city}",
    "our {kin} should not {do} the {like} {thing}",
    "when the {person} {acted} the {animal} {acted} {how}",
    "your {kin} and the {mood} {person} {acted} {place}",
    "{she} never {did} a {color} {thing} {place}",
    "who {did} the {like} {thing} {past}",
    "i met the {mood} {person} in {city} in {month}",
)


def sentence(rng: random.Random) -> str:
    """Draw a random sentence of the grammar, such as "anna sold nine hats last week".

    The template and the word for each of its slots are drawn uniformly.
    """
    return _SLOT.sub(lambda slot: rng.choice(SLOTS[slot[1]]), rng.choice(TEMPLATES))


def possible() -> int:
    """Return the number of different sentences that the grammar can make."""
    return sum(
        math.prod(len(SLOTS[slot]) for slot in _SLOT.findall(template)) for template in TEMPLATES
    )


def words() -> frozenset[str]:
    """Return all words that occur in sentences of the grammar."""
    fixed = " ".join(_SLOT.sub(" ", template) for template in TEMPLATES).split()
    slots = {slot for template in TEMPLATES for slot in _SLOT.findall(template)}
    drawn = " ".join(phrase for slot in slots for phrase in SLOTS[slot]).split()
    return frozenset(fixed + drawn)
