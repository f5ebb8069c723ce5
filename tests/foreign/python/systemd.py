"""Starts a program as systemd does: with listening sockets from descriptor 3 on, and their names.

systemd.py NAME=KIND... -- PROGRAM ARGUMENT...

Where the kernel can, it also denies memory that is both writable and executable, as
MemoryDenyWriteExecute= does.

KIND is a TCP address, as in 127.0.0.1:0, or a path with a mode, as in /run/s@666. If a NAME is -,
no names are passed.
"""

import ctypes
import fcntl
import os
import socket
import sys

FIRST = 3
ELSEWHERE = 100
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1

at = sys.argv.index("--")
names, sockets = [], []
for argument in sys.argv[1:at]:
    name, kind = argument.split("=", 1)
    if kind.startswith("/"):
        path, mode = kind.rsplit("@", 1)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, int(mode, 8))
    else:
        host, port = kind.rsplit(":", 1)
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.bind((host.strip("[]"), int(port)))
    listener.listen()
    names.append(name)
    sockets.append(listener)

# Moves them away from the numbers that they get next.
moved = [fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, ELSEWHERE) for listener in sockets]
for place, number in enumerate(moved, FIRST):
    os.dup2(number, place, inheritable=True)

ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
environment = dict(os.environ, LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))
if "-" not in names:
    environment["LISTEN_FDNAMES"] = ":".join(names)
command = sys.argv[at + 1 :]
os.execve(command[0], command, environment)
