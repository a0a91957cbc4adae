"""Runs a command in a pseudo-terminal and prints what it wrote there and its exit code.

Standard input is JSON: `command`, `folder` to run it in, `columns`, `rows`, `env`, and `press`, a list of [text, action]: once the text was
written (after the one before), the action is taken, which is characters to type or [columns, rows] to resize to. Where the terminal was resized, the output
has the sequence by which xterm is told to: `CSI 8 ; rows ; columns t`.
"""

import json
import sys

try:
    import fcntl
    import os
    import pty
    import select
    import signal
    import struct
    import termios
    import time
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()

asked = json.load(sys.stdin)


def resize(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


child, terminal = pty.fork()
if child == 0:
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    time.sleep(0.2)  # until the size is set
    os.execvp(asked["command"][0], asked["command"])
resize(terminal, asked["columns"], asked["rows"])

output, seen, deadline = b"", 0, time.monotonic() + 60
waiting = list(asked.get("press", []))
while time.monotonic() < deadline:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            read = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not read:
            break
        output += read
    while waiting and (at := output.find(waiting[0][0].encode(), seen)) >= 0:
        seen = at + len(waiting[0][0].encode())
        action = waiting.pop(0)[1]
        if isinstance(action, str):
            os.write(terminal, action.encode())
        else:
            resize(terminal, *action)
            os.kill(child, signal.SIGWINCH)
            output += b"\x1b[8;%d;%dt" % (action[1], action[0])
            seen = len(output)
else:
    os.kill(child, signal.SIGKILL)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps({"output": output.decode("utf-8", "replace"), "code": code}))
