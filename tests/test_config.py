import dataclasses
from typing import ClassVar, Literal

import pytest

from speechseq.config import Config, choice
from speechseq.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wide(Config):
    kind: ClassVar[str] = "wide"
    width: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deep(Config):
    kind: ClassVar[str] = "deep"
    width: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stranger(Config):
    kind: ClassVar[str] = "stranger"


@dataclasses.dataclass(frozen=True, kw_only=True)
class House(Config):
    rooms: int = 1
    height: float = 2.5
    sizes: tuple[int, ...] = (1, 2)
    door: Literal["left", "right"] = "left"
    colour: str | None = None
    lit: bool = True
    part: Config = choice(Wide, Deep, default=Wide())

    def check(self) -> None:
        if self.rooms < 1:
            raise ConfigError("rooms: must be at least 1")


def test_plain_data_comes_back_equal() -> None:
    house = House(rooms=2, sizes=(4,), colour="red", part=Deep(width=9))
    assert House.from_dict(house.to_dict()) == house


def test_kinds_with_the_same_fields_stay_apart() -> None:
    assert type(House.from_dict({"part": {"kind": "deep", "width": 3}}).part) is Deep


def test_a_mechanism_of_ones_own_is_named_by_the_caller() -> None:
    data = House(part=Stranger()).to_dict()
    with pytest.raises(ConfigError, match="stranger"):
        House.from_dict(data)
    assert House.from_dict(data, also=(Stranger,)).part == Stranger()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"room": 2}, "room: unknown key\n  cure: did you mean 'rooms'"),
        ({"rooms": "2"}, r"rooms: expected int, got '2' \(str\)"),
        ({"rooms": True}, "rooms: expected int"),
        ({"height": "1e-3"}, "height: expected float"),
        ({"sizes": [1, "x"]}, r"sizes\[1\]: expected int"),
        ({"door": "up"}, "door: 'up' is none of"),
        (
            {"part": {"kind": "wide", "with": 1}},
            "part.with: unknown key\n  cure: did you mean 'width'",
        ),
        ({"part": {"width": 1}}, "part.kind: unknown None"),
        ([1], "expected a mapping"),
        ({"part": 3}, "part.kind: unknown None"),
        ({"rooms": 0}, "rooms: must be at least 1"),
    ],
)
def test_wrong_data_is_refused_with_the_key_and_the_cure(data: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        House.from_dict(data)


def test_an_integer_serves_as_a_float() -> None:
    assert House.from_dict({"height": 3}).height == 3.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherWide(Config):
    kind: ClassVar[str] = "wide"
    length: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Street(Config):
    house: House = House()


def test_a_refused_number_is_named_by_its_whole_key() -> None:
    with pytest.raises(ConfigError, match=r"^house\.rooms: must be at least 1"):
        Street.from_dict({"house": {"rooms": 0}})


def test_a_kind_of_another_field_does_not_displace_the_fields_own() -> None:
    data = House(part=Wide(width=5)).to_dict()
    assert House.from_dict(data, also=(OtherWide,)).part == Wide(width=5)
