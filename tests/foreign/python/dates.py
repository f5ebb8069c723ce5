"""Checks that datetime reads the dates that Hotcall wrote.

Each line of standard input is JSON: a date, and Hotcall's response with it or null. datetime must
read the same second, or have none.
"""

import datetime
import json
import sys
import xmlrpc.client

# The period of the calendar.
YEARS, DAYS = 400, 146_097

for line in sys.stdin:
    (year, month, day, hour, minute, second, offset), document = json.loads(line)
    since = datetime.timedelta(hours=hour, minutes=minute - (offset or 0), seconds=second)
    try:
        if year == 0:  # datetime begins with year 1
            moment = datetime.datetime(YEARS, month, day) + (since - datetime.timedelta(days=DAYS))
        else:
            moment = datetime.datetime(year, month, day) + since
    except OverflowError:
        moment = None
    read = document and xmlrpc.client.loads(document, use_builtin_types=True)[0][0]
    is_same = read == moment and type(read) is type(moment)
    assert is_same, f"{line.strip()}: {read!r}, wanted {moment!r}"
