"""Attacks by JSON, in the header and in the payload: what is no object, no UTF-8, says a thing twice or costs too much."""

from __future__ import annotations

import json

from tests.corpus.tokens.made import Found, Target


def attacks(t: Target) -> Found:
    for name, text in documents(t.signer.alg.encode(), t.signer.key, t.payload).items():
        yield f"header: {name}", t.signer.token(text, b"{}"), "bad_header" if text else "malformed"
        yield f"payload: {name}", t.signer.token(payload=text), "bad_payload"


def documents(alg: bytes, key: bytes, payload: bytes) -> dict[str, bytes]:
    """Texts that are refused in either place: each has what both places need, wherever it can."""
    both = b'{"alg":"%b","key":"%b"' % (alg, key)
    return {
        "empty": b"",
        "blank": b" ",
        "array": b"[]",
        "array of an object": b"[" + both + b"}]",
        "string": b'"x"',
        "object in a string": json.dumps(both.decode() + "}").encode(),
        "number": b"1",
        "null": b"null",
        "true": b"true",
        "cut": both,
        "single quotes": b"{'key':'%b','alg':'%b'}" % (key, alg),
        "no quotes": b"{key:1,alg:2}",
        "BOM": b"\xef\xbb\xbf" + payload,
        "comment": payload + b"//",
        "comment inside": both + b"/**/}",
        "UTF-16": payload.decode().encode("utf-16"),
        "UTF-16 without a mark": payload.decode().encode("utf-16-le"),
        "UTF-32": payload.decode().encode("utf-32"),
        "trailing zero": payload + b"\0",
        "leading zero byte": b"\0" + payload,
        "vertical tab between": both + b"\x0b}",
        "no-break space between": both + b"\xc2\xa0}",
        "two documents": payload * 2,
        "comma at the end": payload[:-1] + b",}",
        "comma at the start": b"{," + payload[1:],
        "no colon": both + b',"x" 1}',
        "name without quotes": both + b",x:1}",
        "number as a name": both + b",1:1}",
        "NaN": both + b',"x":NaN}',
        "Infinity": both + b',"x":-Infinity}',
        "capital true": both + b',"x":True}',
        "leading zero": both + b',"x":01}',
        "hexadecimal number": both + b',"x":0x1F}',
        "bytes": b"\xff\xfe\xfd",
        "duplicate": b'{"alg":"none","alg":"%b","key":"jane-key","key":"%b"}' % (alg, key),
        "duplicate by escape": rb'{"alg":"%b","\u0061lg":"none","key":"%b","\u006bey":"jane-key"}' % (alg, key),
        "duplicate inside": both + b',"x":{"a":1,"a":2}}',
        "duplicate deep inside": both + b',"x":[{"y":[{"a":1,"\\u0061":2}]}]}',
        "duplicate name nobody asked for": both + b',"x":1,"x":1}',
        "duplicate empty name": both + b',"":1,"":2}',
        "duplicate exp": both + b',"exp":1,"exp":9999999999}',
        "duplicate exp by escape": both + rb',"exp":9999999999,"e\u0078p":1}',
        "duplicate nbf": both + b',"nbf":1,"nbf":9999999999}',
        "duplicate name by surrogate pair": both + b',"\xf0\x9f\x98\x80":1,"\\ud83d\\ude00":2}',
        "lone surrogate": both + rb',"x":"\ud800"}',
        "lone low surrogate": both + rb',"x":"\udc00x"}',
        "surrogates the wrong way round": both + rb',"x":"\udc00\ud800"}',
        "surrogate and a letter": both + rb',"x":"\ud800a"}',
        "lone surrogate in a name": both + rb',"\udc00":1}',
        "surrogates as UTF-8": both + b',"x":"\xed\xa0\x80\xed\xb0\x80"}',
        "over-long UTF-8": both + b',"x":"\xc0\xad"}',
        "over-long quote": both + b',"x\xc0\xa2:1}',
        "over-long UTF-8 of three bytes": both + b',"x":"\xe0\x80\xaf"}',
        "over-long zero": both + b',"x":"\xc0\x80"}',
        "cut UTF-8": both + b',"x":"\xe2\x82"}',
        "UTF-8 beyond Unicode": both + b',"x":"\xf4\x90\x80\x80"}',
        "UTF-8 of five bytes": both + b',"x":"\xf8\x88\x80\x80\x80"}',
        "stray continuation": both + b',"x":"\x80"}',
        "control byte": both + b',"x":"a\nb"}',
        "zero byte in a string": both + b',"x":"a\0b"}',
        "raw Latin-1": both + b',"x":"j\xf6hn"}',
        "unknown escape": both + rb',"x":"\x6a"}',
        "octal escape": both + rb',"x":"\152"}',
        "short escape": both + rb',"x":"\u00f"}',
        "escape at the end": both + b',"x":"\\"}',
        "deep arrays": both + b',"x":' + b"[" * 1500 + b"]" * 1500 + b"}",
        "deep objects": both + b',"x":' + b'{"x":' * 900 + b"1" + b"}" * 901,
        "open arrays": both + b',"x":' + b"[" * 3000,
        "open objects": both + b',"x":' + b'{"":' * 1400,
        "integer of 5000 digits": both + b',"x":' + b"9" * 5000 + b"}",
        "fraction of 5000 digits": both + b',"x":0.' + b"9" * 5000 + b"}",
        "exponent of 5000 digits": both + b',"x":1e' + b"9" * 5000 + b"}",
        "crowd of members": json.dumps({"alg": alg.decode(), "key": key.decode()} | {f"{i:x}": 0 for i in range(300)}).encode(),
    }
