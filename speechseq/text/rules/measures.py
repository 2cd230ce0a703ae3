"""Numbers with units: percentages, lengths, weights, speeds, temperatures."""

import re

from speechseq.text.rules.numbers import AMOUNT, START, number

# unit: (one, many)
_UNITS = {
    "kg": "kilogram", "g": "gram", "mg": "milligram", "ug": "microgram", "lb": "pound",
    "lbs": "pound", "oz": "ounce", "km": "kilometer", "m": "meter", "cm": "centimeter",
    "mm": "millimeter", "um": "micrometer", "nm": "nanometer", "mi": "mile", "yd": "yard",
    "yds": "yard", "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter",
    "cl": "centiliter", "gal": "gallon", "pt": "pint", "qt": "quart", "s": "second",
    "sec": "second", "secs": "second", "min": "minute", "mins": "minute", "h": "hour",
    "hr": "hour", "hrs": "hour", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "kWh": "kilowatt hour",
    "V": "volt", "kV": "kilovolt", "mV": "millivolt", "mA": "milliamp", "J": "joule",
    "kJ": "kilojoule", "cal": "calorie", "kcal": "kilocalorie", "dB": "decibel",
    "B": "byte", "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "Pa": "pascal", "kPa": "kilopascal", "ha": "hectare", "px": "pixel",
    "ohm": "ohm", "kohm": "kilohm", "Mohm": "megohm", "mAh": "milliamp hour", "bit": "bit",
    "kbit": "kilobit", "Mbit": "megabit", "Gbit": "gigabit", "hPa": "hectopascal",
    "MPa": "megapascal", "uF": "microfarad", "nF": "nanofarad", "pF": "picofarad",
    "mcg": "microgram",
    "mol": "mole", "tsp": "teaspoon", "tbsp": "tablespoon", "kt": "knot", "cc": "c.c.",
}  # fmt: skip
_IRREGULAR = {
    "ft": ("foot", "feet"), "in": ("inch", "inches"), "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "mph": ("mile per hour", "miles per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "ft/s": ("foot per second", "feet per second"), "mpg": ("mile per gallon", "miles per gallon"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "bpm": ("beat per minute", "beats per minute"), "kbps": ("kilobit per second",
    "kilobits per second"), "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "fps": ("frame per second", "frames per second"), "dpi": ("dot per inch", "dots per inch"),
    "ppm": ("part per million", "parts per million"),
    "psi": ("pound per square inch", "pounds per square inch"),
    "sq ft": ("square foot", "square feet"), "sq mi": ("square mile", "square miles"),
    "sq km": ("square kilometer", "square kilometers"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    '"': ("inch", "inches"), "°": ("degree", "degrees"), "%": ("percent", "percent"),
}  # fmt: skip
_NAMES = {unit: (one, one + "s") for unit, one in _UNITS.items()} | _IRREGULAR
_POWERS = {"²": "square ", "2": "square ", "³": "cubic ", "3": "cubic "}

# Units that are also words or initials: only read as units directly after the number.
_TOUCHING = {"in", "s", "h", "B", "J", "us", "pt", "L", "l", "V", "W", "g", "cal", "ha", "cc"}
_WIDE = "|".join(map(re.escape, sorted(set(_NAMES) - _TOUCHING - {'"'}, key=len, reverse=True)))
_PER = "|".join(
    sorted((u for u in _UNITS if u not in ("us", "pt", "ha", "cc")), key=len, reverse=True)
)
_CLOSE = "|".join(map(re.escape, sorted(_TOUCHING, key=len, reverse=True)))
_POWER = r"(?:([²³])|(?<=m)([23]))?"
_MEASURE = re.compile(
    rf"{START}(?<![A-Za-z])(?<![A-Za-z]-)(?<!')(?:({AMOUNT}) ?- ?)?({AMOUNT}|\.\d++)"
    rf"(?:( ?|-)({_WIDE}){_POWER}|({_CLOSE}))(?:/({_PER})(?:([²³])|(?<=m)([23]))?)?"
    rf"(?![A-Za-z0-9²³])(?:(\.)(?! *[A-Z]|$|[)\"'])|)"
)
_FRACTION = re.compile(
    r"(?<![\d/.,])((?:\d{1,4} )?\d{1,2}/\d{1,2})[ -]?"
    r"(in|ft|mi|oz|lbs?|yd|hrs?|km|cm|mm|\")(?![A-Za-z])\.?"
)
_INCHES = re.compile(rf"{START}({AMOUNT}) in(?:\.(?! [A-Z]|$)|(?=[,;)]|$))")
_PERCENT_RANGE = re.compile(r"% ?- ?(?=\d)")
_FEET_INCHES = re.compile(r"(?<![\w.,])(\d{1,3})' ?(\d{1,2})(?:\"|'')")
_SPACED_GRAMS = re.compile(rf"{START}({AMOUNT}) (g|V|W|L|l|ha|h|s)(?![\w'.])")
_BOTH_UNITS = re.compile(rf"{START}({AMOUNT} ?({_WIDE}|{_CLOSE})) ?- ?(?={AMOUNT} ?\2(?![A-Za-z]))")
_FEET_BY = re.compile(r"(?<![\w.,])(\d{1,3})' ?[xX] ?(\d{1,3})'(?!\w)")
_MINUTES = re.compile(r"(?<=\d)° ?(\d{1,2})'(?: ?(\d{1,2}(?:\.\d+)?)(?:\"|''))?(?!\w)")
_SCALE = re.compile(r"(?<=\d) ?° (?=[CF](?![A-Za-z.]))")
_TURN = re.compile(r" (?:turn|angle|bend|rotation|view|arc|field|slope)")


def read_measures(text: str) -> str:
    """Convert numbers with units to words: "5 kg" becomes "five kilograms".

    The unit is singular after "one", and where a hyphen joins it to the number, as in "5-kg bag".
    """
    if "°" in text:
        text = _MINUTES.sub(_minutes, _SCALE.sub("°", text))
    if "'" in text:
        text = _FEET_BY.sub(r"\1 ft by \2 ft", text)
    if "-" in text:
        text = _BOTH_UNITS.sub(r"\1 to ", text)
    text = _FEET_INCHES.sub(
        lambda m: f"{m[1]} {_name('ft', m[1])} {m[2]} {_name('in', m[2])}", text
    )
    text = _PERCENT_RANGE.sub("% to ", text)
    text = _FRACTION.sub(_fraction, text)
    text = _INCHES.sub(lambda m: f"{number(m[1])} {_name('in', m[1])}", text)
    text = _MEASURE.sub(_measure, text)
    return _SPACED_GRAMS.sub(lambda m: f"{number(m[1])} {_name(m[2], m[1])}", text)


def _measure(match: re.Match[str]) -> str:
    low, high, gap, wide, sign, figure, close, per, per_sign, per_figure, _ = match.groups()
    high = f"0{high}" if high.startswith(".") else high
    power = _POWERS.get(sign or figure or "", "")
    joint = "-" if gap == "-" else " "
    name = _name(wide or close, "1" if gap == "-" else high)
    # distinguish accelerations from areas: 9.8 m/s² and 12 m²
    name = (
        f"{name} {power.replace('square', 'squared').strip()}"
        if "/" in (wide or "") and power
        else power + name
    )
    if per:
        name += f" per {_POWERS.get(per_sign or per_figure or '', '')}{_NAMES[per][0]}"
    if wide == "°" and _TURN.match(match.string, match.end()):
        name = "degree"
    return f"{f'{number(low)} to ' if low else ''}{number(high)}{joint}{name}"


def _minutes(match: re.Match[str]) -> str:
    """Read minutes and seconds of an angle."""
    spoken = f"° {match[1]} {_name('min', match[1])}"
    return spoken + (f" {match[2]} {_name('sec', match[2])}" if match[2] else "")


def _fraction(match: re.Match[str]) -> str:
    mixed = " " in match[1]
    return f"{match[1]} {_name(match[2], '2')}" if mixed else f"{match[1]} {_name(match[2], '1')}"


def _name(unit: str, count: str) -> str:
    return _NAMES[unit][count != "1"]
