"""Reads documents, one a line in hexadecimal, and writes what xmlrpc.client makes of each, one a line in JSON."""

import datetime
import decimal
import json
import sys
import xmlrpc.client


def noted(value):
    """The notation of tests/src/notation.rs."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -(2**31) <= value < 2**31 else {"i8": value}
        case float():
            return {"double": repr(value)}
        case decimal.Decimal():
            number = float(value)
            is_held = value in (decimal.Decimal(repr(number)), decimal.Decimal(number))
            return {"double": repr(number)} if is_held else {"decimal": str(value)}
        case xmlrpc.client.Binary():
            return {"bytes": value.data.hex()}
        case xmlrpc.client.DateTime():
            return date(value.value)
        case list():
            return [noted(item) for item in value]
        case dict():
            return {"struct": [[noted(name), noted(item)] for name, item in value.items()]}
        case _:
            return {"unknown": repr(value)}


def date(text):
    """xmlrpc.client keeps the text as it is, whatever it says; datetime understands it."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return {"text for a date": text}
    return {"date": moment.isoformat()}


def answer(document):
    try:
        params, method = xmlrpc.client.loads(document)
    except xmlrpc.client.Fault as fault:
        return {"fault": [fault.faultCode, fault.faultString]}
    except Exception as error:  # whatever it raises, it has refused
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"params": [noted(param) for param in params], "method": method}


for line in [json.loads(line) for line in sys.stdin]:
    print(json.dumps(answer(bytes.fromhex(line))))
