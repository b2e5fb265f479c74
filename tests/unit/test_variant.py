"""VARIANT text: `rewrite_json` against Python's json module and the number rule written anew in Python."""

from __future__ import annotations

import json
import threading
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock._core import rewrite_json

LARGEST = 2**127 - 1  # what Feldera's decimal holds, before 0 to 255 places
MOST_PLACES = 255
DEPTH = 512
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Number(str):
    """The text of a number in the output."""

    __slots__ = ()


def quoted(text: str) -> str:
    return '"' + "".join(ESCAPES.get(c, c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def number_text(token: str) -> str:
    if token.lstrip("-").isdigit():
        return token if token.strip("-0") else "0"
    mantissa, _, power = token.lower().partition("e")
    exact = Decimal(f"{mantissa}e{max(-(10**6), min(int(power or 0), 10**6))}")  # Decimal has limits of its own
    if not exact:
        return "0"
    digits = "".join(map(str, exact.as_tuple().digits)).lstrip("0")
    kept = digits[: 39 if int(digits[:38]) < LARGEST // 10 else 38]
    exponent = int(exact.as_tuple().exponent) + len(digits) - len(kept)
    while exponent < 0 and kept[-1] == "0":
        kept, exponent = kept[:-1], exponent + 1
    if exponent >= -MOST_PLACES and exponent <= len(str(LARGEST)) and int(kept) * 10 ** max(exponent, 0) <= LARGEST:
        return f"{Decimal(('-' if exact < 0 else '') + kept + f'e{exponent}'):f}"
    if "inf" in repr(float(token)):
        raise ValueError("too large")
    return repr(float(token)).replace("e+", "e") if float(token) else "0"


def oracle(text: bytes) -> bytes:
    def write(value: object) -> str:
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, Number):
            return value
        if isinstance(value, str):
            return quoted(value)
        if isinstance(value, list):
            return f"[{','.join(map(write, value))}]"
        assert isinstance(value, dict)
        return "{" + ",".join(f"{quoted(key)}:{write(value[key])}" for key in sorted(value, key=str.encode)) + "}"

    def number(token: str) -> Number:  # while parsing: also one whose key comes again is refused
        return Number(number_text(token))

    def refuse(name: str) -> None:
        raise ValueError(name)

    return write(json.loads(text.decode(), parse_int=number, parse_float=number, parse_constant=refuse)).encode()


def test_a_document_is_rewritten_without_white_space_and_with_sorted_keys() -> None:
    """Every rule of the form shows in one document."""
    text = (
        ' { "b" : [ 1 , 2.50 , -0 , null ] ,\n"a\\u0062":"\\u00e9\\/\\u001F\\n\\u007f" , "B":{},"é": true ,"b":5.0 } '
    )
    assert rewrite_json(text.encode()).decode() == '{"B":{},"ab":"é/\\u001f\\n\x7f","b":5,"é":true}'


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e999999999999999999999999", "0"),
        ("-5", "-5"),
        ("18446744073709551616", "18446744073709551616"),
        ("9" * 60, "9" * 60),
        ("5.0", "5"),
        ("2.50", "2.5"),
        ("100.0", "100"),
        ("0.1", "0.1"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("10e10", "100000000000"),
        ("123E-5", "0.00123"),
        ("-1e-20", "-0.00000000000000000001"),
        ("1e38", "1" + "0" * 38),
        ("1.7014118346046923173168730371588410572e38", "170141183460469231731687303715884105720"),
        ("1.7014118346046923173168730371588410573e38", "1.7014118346046923e38"),
        ("1e39", "1e39"),
        ("-2.5e200", "-2.5e200"),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
        ("1e-255", "0." + "0" * 254 + "1"),
        ("1000e-257", "0." + "0" * 253 + "1"),
        ("1e-256", "1e-256"),
        ("-2.5e-300", "-2.5e-300"),
        ("5e-324", "5e-324"),
        ("-1e-999999999999999999999999", "0"),
        ("111111111111111111111111111111111111111111e-34", "11111111.1111111111111111111111111111111"),
        ("1.23456788901234567890123456789012345678890123456", "1.23456788901234567890123456789012345678"),
        ("0." + "0" * 20 + "1" * 30, "0." + "0" * 20 + "1" * 30),
    ],
)
def test_numbers_are_integers_then_decimals_then_doubles(token: str, text: str) -> None:
    """Each number takes the first form that holds it, among them the cases of Feldera's own decimal."""
    assert rewrite_json(token.encode()).decode() == text
    assert rewrite_json(f'{{"a":[{token},{token}]}}'.encode()).decode() == f'{{"a":[{text},{text}]}}'


@pytest.mark.parametrize("token", ["1e309", "-1e400", "1e999999999999999999999", "9" * 400 + "e1"])
def test_a_number_beyond_double_is_refused(token: str) -> None:
    """A number that neither form holds is an error that says what is allowed."""
    with pytest.raises(ValueError, match=r"number at byte 1 .* too large: at most 1\.7976931348623157e308"):
        rewrite_json(f"[{token}]".encode())


BAD = [
    (b"", "at byte 0 found nothing at all, expected a value"),
    (b" \t", "at byte 2 found the end of the text, expected a value"),
    (b"\xef\xbb\xbf1", "at byte 0 found byte 0xef, expected a value"),
    (b"\x00", "at byte 0 found byte 0x00, expected a value"),
    (b"1 2", "at byte 2 found '2', expected the end after the one value"),
    (b"NaN", "at byte 0 found 'N', expected a value"),
    (b"nul", "at byte 0 found 'n', expected the word null"),
    (b"truE", "at byte 0 found 't', expected the word true"),
    (b"[fals", "at byte 1 found 'f', expected the word false"),
    (b"nullx", "at byte 4 found 'x', expected the end"),
    (b"+1", r"at byte 0 found '\+', expected a value"),
    (b".5", r"at byte 0 found '\.', expected a value"),
    (b"-", "at byte 1 found the end of the text, expected a digit"),
    (b"-x", "at byte 1 found 'x', expected a digit"),
    (b"01", "at byte 1 found '1', expected no digit after a leading zero"),
    (b"-00", "at byte 2 found '0', expected no digit after a leading zero"),
    (b"1.", "at byte 2 found the end of the text, expected a digit after the point"),
    (b"1.e5", "at byte 2 found 'e', expected a digit after the point"),
    (b"1e", "at byte 2 found the end of the text, expected a digit in the exponent"),
    (b"1e+]", "at byte 3 found ']', expected a digit in the exponent"),
    (b"[1,]", "at byte 3 found ']', expected a value"),
    (b"[1 2]", "at byte 3 found '2', expected ',' or ']'"),
    (b"[1", "at byte 2 found the end of the text, expected ',' or ']'"),
    (b"[1}", "at byte 2 found '}', expected ',' or ']'"),
    (b'{"a":1]', "at byte 6 found ']', expected ',' or '}'"),
    (b'{"a":1,}', "at byte 7 found '}', expected a key in quotes"),
    (b"{a:1}", "at byte 1 found 'a', expected a key in quotes"),
    (b"{", "at byte 1 found the end of the text, expected a key in quotes"),
    (b'{"a" 1}', "at byte 5 found '1', expected ':'"),
    (b'{"a":}', "at byte 5 found '}', expected a value"),
    (b'"abc', "at byte 4 found the end of the text, expected '\"' at the end of the string"),
    (b'"a\nb"', "at byte 2 found byte 0x0a, expected no control character inside a string"),
    (b'"\\x"', "at byte 2 found 'x', expected one of"),
    (b'"\\', "at byte 2 found the end of the text, expected the rest of an escape"),
    (b'"\\u12g4"', "at byte 5 found 'g', expected four hexadecimal digits"),
    (b'"\\u12', "at byte 5 found the end of the text, expected four hexadecimal digits"),
    (b'"\\ud83d"', "at byte 1 .* expected a high surrogate followed by a low one"),
    (b'"\\ude00\\ud83d"', "at byte 1 .* expected a high surrogate followed by a low one"),
    (b'"\\ud83d\\u0041"', "at byte 1 .* expected a high surrogate followed by a low one"),
    (b'"\\ud83d\\ud83d"', "at byte 1 .* expected a high surrogate followed by a low one"),
    (b'"\xff"', "at byte 1 found byte 0xff, expected well-formed UTF-8"),
    (b'"\xc0\x80"', "at byte 1 found byte 0xc0, expected well-formed UTF-8"),
    (b'"\xc3"', "at byte 1 found byte 0xc3, expected well-formed UTF-8"),
    (b'"\xe0\x9f\xbf"', "at byte 1 found byte 0xe0, expected well-formed UTF-8"),
    (b'"\xed\xa0\x80"', "at byte 1 found byte 0xed, expected well-formed UTF-8"),
    (b'"\xe2\x82', "at byte 1 found byte 0xe2, expected well-formed UTF-8"),
    (b'"\xf0\x8f\xbf\xbf"', "at byte 1 found byte 0xf0, expected well-formed UTF-8"),
    (b'"\xf4\x90\x80\x80"', "at byte 1 found byte 0xf4, expected well-formed UTF-8"),
    (b'"\xf0\x9f\x98', "at byte 1 found byte 0xf0, expected well-formed UTF-8"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD, ids=lambda value: repr(value)[:30])
def test_text_that_is_not_json_is_refused_with_its_place(text: bytes, sentence: str) -> None:
    """The sentence names the byte, what stands there and what may stand there."""
    with pytest.raises(ValueError, match=f"^the text is not JSON: {sentence}"):
        rewrite_json(text)


def test_depth_is_allowed_to_its_limit_and_not_beyond() -> None:
    """The deepest text allowed passes, one level more and a million more are refused in one sentence."""
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deepest = opening * DEPTH + "1" + closing * DEPTH
        assert rewrite_json(deepest.encode()).decode() == deepest
        for text in (opening * (DEPTH + 1) + "1" + closing * (DEPTH + 1), opening * 1_000_000):
            with pytest.raises(ValueError, match=r"nested too deeply: .* 512 levels allowed"):
                rewrite_json(text.encode())


def test_keys_are_compared_as_the_characters_they_stand_for() -> None:
    """An escape sorts as its character, a prefix before what it begins, a repeated key counts however it is written."""
    keys = [
        '"',
        "\\",
        "\n",
        "\x01",
        "\x1f",
        "!",
        "a",
        "a\n",
        "a!",
        'a"',
        "a\\",
        "ab",
        "",
        "é",
        "\U0001f600",
        "￿",
        "\x7f",
    ]
    for rotation in range(len(keys)):
        turned = keys[rotation:] + keys[:rotation]
        text = json.dumps({key: place for place, key in enumerate(turned)})
        assert rewrite_json(text.encode()) == oracle(text.encode())
    assert rewrite_json(b'{"a\\n":1,"\\u0061\\u000a":2,"\\u0041":3,"A":4}') == b'{"A":4,"a\\n":2}'


def test_many_members_are_sorted_and_the_last_of_equal_keys_is_kept() -> None:
    """An object of 20,000 members in bad order, each key twice, nested values moving with their keys."""
    members = [f'"k{i * 7919 % 10007}":{{"z":{i},"a":[{i}.50]}}' for i in range(20014)]
    text = ("{" + ", ".join(members) + "}").encode()
    assert rewrite_json(text) == oracle(text)


def test_threads_do_not_share_work_memory() -> None:
    """Four threads rewriting different documents at once each get their own."""
    texts = [json.dumps({f"{thread}-{9999 - i}": i for i in range(2000)}).encode() for thread in range(4)]
    wrong = []

    def work(text: bytes) -> None:
        expected = oracle(text)
        wrong.extend(1 for _ in range(50) if rewrite_json(text) != expected)

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


SPACE = st.sampled_from(["", "", "", " ", "\n", "\t \r"])
DIGITS = st.text("0123456789", min_size=1, max_size=45)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Number tokens: few digits and many, with and without point and exponent, near the limits of each form."""
    whole = draw(st.one_of(st.integers(0, 1000).map(str), DIGITS.map(lambda text: text.lstrip("0") or "0")))
    fraction = draw(st.one_of(st.just(""), st.just(""), DIGITS))
    zeros = draw(st.sampled_from([0, 0, 0, 3, 30, 250]))
    exponent = draw(st.sampled_from(["", "", "e{}", "E+{}", "e-{}"])).format(
        draw(st.one_of(st.integers(0, 45), st.integers(0, 420), st.sampled_from([37, 38, 39, 254, 255, 256, 307, 308])))
    )
    point = f".{'0' * zeros}{fraction or '0'}" if fraction or zeros else ""
    return f"{draw(st.sampled_from(['', '-']))}{whole}{point}{exponent}"


@st.composite
def strings(draw: st.DrawFn) -> str:
    """String tokens: each character raw, or as any escape that stands for it."""
    token = ['"']
    for character in draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)):
        units = character.encode("utf-16-be")
        full = "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
        ways = [full, full.upper().replace("\\U", "\\u")]
        if character in ESCAPES:
            ways.append(ESCAPES[character])
        elif character >= " ":
            ways += [character] * 4 + (["\\/"] if character == "/" else [])
        token.append(draw(st.sampled_from(ways)))
    return "".join(token) + '"'


def spaced(token: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(SPACE, token, SPACE).map("".join)


def nested(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    short = st.sampled_from(['"a"', '"b"', '"ab"', '"\\u0061"', '""', '"a\\n"', '"a!"'])
    member = st.tuples(spaced(st.one_of(short, strings())), values).map(":".join)
    body = st.lists(member, max_size=6).map(",".join)
    return spaced(
        st.one_of(st.lists(values, max_size=6).map(lambda v: f"[{','.join(v)}]"), body.map(lambda b: f"{{{b}}}"))
    )


DOCUMENTS = st.recursive(
    spaced(st.one_of(st.sampled_from(["null", "true", "false"]), numbers(), strings())), nested, max_leaves=12
)


def outcome(rewrite: object, text: bytes) -> bytes | None:
    try:
        return rewrite(text)  # type: ignore[operator]
    except ValueError:
        return None


@given(DOCUMENTS)
def test_any_document_equals_the_oracle(text: str) -> None:
    """Whatever JSON comes in, the core and the oracle agree on its form, or both refuse a number in it."""
    assert outcome(rewrite_json, text.encode()) == outcome(oracle, text.encode())


@given(numbers())
@example("0.00")
@example("17014118346046923173168730371588410571.99")
@example("17014118346046923173168730371588410572.99")
@example("170141183460469231731687303715884105728e0")
@example("-0.1e-99999999999999999999999")
def test_any_number_equals_the_oracle(token: str) -> None:
    """The number rule holds at every length, scale and exponent."""
    assert outcome(rewrite_json, token.encode()) == outcome(oracle, token.encode())


PIECES = st.one_of(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"d83d", b"-", b"0", b"1e", b".", b"null", b"t"]
    ),
    st.binary(min_size=1, max_size=4),
)


@given(DOCUMENTS, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), PIECES), min_size=1, max_size=4))
def test_any_damaged_document_is_judged_as_the_oracle_judges_it(text: str, edits: list[tuple[int, int, bytes]]) -> None:
    """Whether damaged text is still JSON, and as what, is the same for the core and the oracle."""
    damaged = text.encode()
    for place, removed, piece in edits:
        at = place % (len(damaged) + 1)
        damaged = damaged[:at] + piece + damaged[at + removed :]
    assert outcome(rewrite_json, damaged) == outcome(oracle, damaged)
