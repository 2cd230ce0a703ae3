"""Names of currencies and of their hundredths, by sign and by code."""

import re

# sign or code: (one, many, one hundredth, many hundredths)
CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
    "CNY": ("yuan", "yuan", "fen", "fen"),
    "SEK": ("Swedish krona", "Swedish kronor", "ore", "ore"),
    "NOK": ("Norwegian krone", "Norwegian kroner", "ore", "ore"),
    "DKK": ("Danish krone", "Danish kroner", "ore", "ore"),
    "PLN": ("zloty", "zlotys", "grosz", "groszy"),
    "CZK": ("Czech koruna", "Czech korunas", "haler", "halers"),
    "HUF": ("forint", "forints", "filler", "fillers"),
    "ZAR": ("rand", "rand", "cent", "cents"),
    "BRL": ("real", "reais", "centavo", "centavos"),
    "MXN": ("Mexican peso", "Mexican pesos", "centavo", "centavos"),
    "ILS": ("shekel", "shekels", "agora", "agorot"),
    "THB": ("baht", "baht", "satang", "satang"),
    "TWD": ("Taiwan dollar", "Taiwan dollars", "cent", "cents"),
    "AED": ("dirham", "dirhams", "fils", "fils"),
    "SAR": ("riyal", "riyals", "halala", "halalas"),
    "BTC": ("bitcoin", "bitcoins", "hundredth", "hundredths"),
}
LANDS = {
    "US": "U.S. ", "U.S.": "U.S. ", "A": "Australian ", "AU": "Australian ", "C": "Canadian ",
    "CA": "Canadian ", "NZ": "New Zealand ", "HK": "Hong Kong ", "S": "Singapore ",
}  # fmt: skip
_DOLLARS = {"AUD": "Australian", "CAD": "Canadian", "NZD": "New Zealand", "HKD": "Hong Kong",
            "SGD": "Singapore"}  # fmt: skip
_SAME = {"USD": "$", "GBP": "£", "EUR": "€", "JPY": "¥", "INR": "₹", "RUB": "₽", "KRW": "₩",
         "RMB": "CNY"}  # fmt: skip
CURRENCIES |= {code: CURRENCIES[sign] for code, sign in _SAME.items()}
CURRENCIES |= {
    code: (f"{land} dollar", f"{land} dollars", "cent", "cents") for code, land in _DOLLARS.items()
}
CODES = "|".join(sorted(name for name in CURRENCIES if name.isalpha()))
# The money rules replace each code by one character of the private use area, like a sign.
_STAND_INS = {code: chr(0xE000 + i) for i, code in enumerate(CODES.split("|"))}
_RESTORED = str.maketrans({sign: code for code, sign in _STAND_INS.items()})
_CODE = re.compile(rf"(?:{CODES})(?<![A-Za-z]...)(?![A-Za-z])")
CURRENCIES |= {sign: CURRENCIES[code] for code, sign in _STAND_INS.items()}
EURO = _STAND_INS["EUR"]
CODE_SIGNS = f"[{chr(0xE000)}-{max(_STAND_INS.values())}]"
SIGNS = f"[$£€¥₹₩₽{CODE_SIGNS[1:]}"


def signs_for_codes(text: str) -> str:
    """Replace each currency code in a text, such as USD, by one private-use Unicode character.

    The rules for sums of money then treat it like a sign such as $. `codes_for_signs` is the
    inverse.
    """
    return _CODE.sub(lambda m: _STAND_INS[m[0]], text)


def codes_for_signs(text: str) -> str:
    """Undo `signs_for_codes`: replace its private-use characters by currency codes such as USD."""
    return text.translate(_RESTORED)
