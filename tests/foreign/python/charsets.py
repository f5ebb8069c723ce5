"""Prints how Python reads each character of the encodings named on the command line: lines of JSON
with the encoding, the bytes in hexadecimal digits, and the text, or null where Python refuses.

xmlrpc.client reads encodings of one byte, and of those each byte past ASCII is printed. Of the
others, which it refuses, each character of two and three bytes that the codec has is printed. In
ISO-2022-JP those of JIS X 0208 are, each between two escapes.
"""

import codecs
import json
import sys
import xml.parsers.expat
import xmlrpc.client


def loaded(name, content):
    prolog = f"<?xml version='1.0' encoding='{name}'?><params><param><value>"
    document = prolog.encode() + content + b"</value></param></params>"
    try:
        return xmlrpc.client.loads(document)[0][0]
    except (xml.parsers.expat.ExpatError, ValueError, LookupError):
        return None


def by_codec(name, content):
    try:
        return codecs.decode(content, name)
    except UnicodeDecodeError:
        return None


def characters(name):
    """Each sequence of bytes, with what Python reads."""
    high = range(0x80, 0x100)
    if name == "iso-2022-jp":
        graphic = range(0x21, 0x7F)
        for pair in (bytes([lead, trail]) for lead in graphic for trail in graphic):
            content = b"\x1b$B" + pair + b"\x1b(B"
            if text := by_codec(name, content):
                yield content, text
        return
    if loaded(name, b"a") == "a":
        for byte in high:
            yield bytes([byte]), loaded(name, bytes([byte]))
        return
    for lead in high:
        yield from some(name, ([lead, trail] for trail in range(0x100)))
        if lead == 0x8F:
            yield from some(name, ([lead, second, third] for second in high for third in high))


def some(name, sequences):
    for sequence in map(bytes, sequences):
        text = by_codec(name, sequence)
        # What begins with a character is two.
        begins = (by_codec(name, sequence[:length]) for length in range(1, len(sequence)))
        if text is not None and all(beginning is None for beginning in begins):
            yield sequence, text


for name in sys.argv[1:]:
    for content, text in characters(name):
        print(json.dumps([name, content.hex(), text]))
