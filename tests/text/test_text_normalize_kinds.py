"""Kinds of writing with signs: signed numbers, ranges, verses, currency codes, plural letters."""

import pytest

from speechseq.text.normalize import normalize

KINDS_TEXT = {
    "signed numbers": """
The index rose +7.3% today. => The index rose plus seven point three percent today.
He has +50 points. => He has plus fifty points.
net -10, -20 and +30 => net minus ten, minus twenty and plus thirty
It weighs +10 kg more. => It weighs plus ten kilograms more.
−5 °C to +5°C => minus five degrees Celsius to plus five degrees Celsius
(+3) and (-3) => (plus three) and (minus three)
a +$5 gain => a plus five dollars gain
−$5.50 => minus five dollars, fifty cents
-USD 5 => minus five dollars
±0.5 mm => plus or minus zero point five millimeters
+/- 3 => plus or minus three
UTC-5 and GMT+1 => U.T.C. minus five and G.M.T. plus one
C++ => C plus plus
a profit of +50 000 000 => a profit of plus fifty million
""",
    "telephone numbers": """
+44 20 7946 0958 => plus four four, two zero, seven nine four six, zero nine five eight
+1 (555) 123-4567 => plus one, five five five, one two three, four five six seven
+15551234567 => plus one five five five one two three four five six seven
""",
    "ranges of hours": """
9-5 => nine to five
9:00–17:00 => nine o'clock to seventeen hundred
9 a.m.–5 p.m. => nine a.m. to five p.m.
9am-5pm => nine a.m. to five p.m.
9-11am => nine to eleven a.m.
noon-1 => noon to one
10am–noon => ten a.m. to noon
17:30h => seventeen thirty
Mon–Fri => Monday to Friday
Jan.-Mar. 2020 => January to March twenty twenty
""",
    "ranges of sums and measures": """
$5–$10 => five to ten dollars
£1.5–2m => one point five to two million pounds
£1.5m–£2m => one point five to two million pounds
£500k–£2m => five hundred thousand pounds to two million pounds
5–10 kg => five to ten kilograms
5kg-10kg => five kilograms to ten kilograms
1990–95 => nineteen ninety to ninety-five
pp. 3-7 => pages three to seven
1st–3rd => first to third
5-10 EUR => five to ten euros
2020/21 => twenty twenty twenty-one
""",
    "signs of one character": """
It was 23℃ outside. => It was twenty-three degrees Celsius outside.
73℉ => seventy-three degrees Fahrenheit
1⅓ cups => one and one third cups
№ 5 => Number five
§§ 3–4 => sections three to four
¶ 3 => paragraph three
12° 30′ N => twelve degrees thirty minutes N
5′ 10″ and 6″ => five feet ten inches and six inches
5 kΩ => five kilohms
3 × 10⁸ => three times ten to the power of eight
10⁻³ => ten to the power of minus three
9.8 m/s² => nine point eight meters per second squared
5 kg/m³ => five kilograms per cubic meter
1920×1080 => nineteen twenty by ten eighty
°C => degrees Celsius
5° C => five degrees Celsius
A → B => A to B
""",
    "chapter and verse": """
Read Psalm 23:1-6 aloud. => Read Psalm twenty-three one to six aloud.
John 3:16 => John three sixteen
1 Cor. 13:4–7 => First Corinthians thirteen four to seven
Genesis 1:1 => Genesis one one
Ps. 119:105 => Psalm one hundred nineteen, one hundred five
Exodus 20:3 => Exodus twenty, three
Luke 2:1–3:5 => Luke two one to three five
John came at 3:05. => John came at three oh five.
Mark 10:30 a.m. => Mark ten thirty a.m.
""",
    "codes of currencies": """
USD 5 => five dollars
5 USD => five dollars
USD 1.5m => one point five million dollars
GBP 1,000 => one thousand pounds
CHF 3.50 => three Swiss francs, fifty centimes
AUD 10 and A$10 => ten Australian dollars and ten Australian dollars
5 million EUR => five million euros
$5 USD => five dollars
CAD $5 => five Canadian dollars
SEK 10 => ten Swedish kronor
Rs. 500 => five hundred rupees
1,50 € => one euro, fifty cents
50p => fifty pence
""",
    "letters in the plural": """
a TV => a T.V.
I saw a TV in the FBI's office. => I saw a T.V. in the F.B.I.'s office.
PCs' => P.C.s'
Ph.D.s and PhDs => P.H.D.s and P.H.D.s
the 1990s' best => the nineteen nineties' best
F-16s => F-sixteens
MP3s => M P threes
2x4s => two by fours
B2B => B two B
the WHO's => the W.H.O.'s
""",
    "versions, addresses, dates": """
v2.0.1 => version two point zero point one
10.0.0.1:80 => one zero dot zero dot zero dot one, port eight zero
2024-01-15T10:30 => January fifteenth, twenty twenty-four, ten thirty
6.02x10^23 => six point zero two times ten to the power of twenty-three
1e-5 => one times ten to the power of minus five
4'x6' => four feet by six feet
""",
}
CASES = [
    pytest.param(*line.split(" => "), id=f"{kind}: {line}")
    for kind, lines in KINDS_TEXT.items()
    for line in lines.strip().splitlines()
]


@pytest.mark.parametrize(("written", "read"), CASES)
def test_a_careful_reader_says(written: str, read: str) -> None:
    assert normalize(written) == read
    assert normalize(read) == read
