"""Reads a date and the response that Hotcall wrote for it, one a line in JSON: datetime must read the same second, or have none."""

import datetime
import json
import sys
import xmlrpc.client

# After so many years, and no fewer, the calendar repeats itself.
YEARS, DAYS = 400, 146_097

for line in sys.stdin:
    (year, month, day, hour, minute, second, offset), document = json.loads(line)
    since = datetime.timedelta(hours=hour, minutes=minute - (offset or 0), seconds=second)
    try:
        if year == 0:  # datetime begins with the year 1
            moment = datetime.datetime(YEARS, month, day) + (since - datetime.timedelta(days=DAYS))
        else:
            moment = datetime.datetime(year, month, day) + since
    except OverflowError:
        moment = None
    read = document and xmlrpc.client.loads(document, use_builtin_types=True)[0][0]
    assert read == moment and type(read) is type(moment), f"{line.strip()}: {read!r}, wanted {moment!r}"
