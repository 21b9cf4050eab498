"""Reads the arguments and the environment of every process again and again, until its input ends. Gets the texts to look for as a line of
JSON on its input, so that it does not hold them itself where it looks. Prints a line of JSON at the end."""

import base64
import json
import os
import select
import sys


def read(path):
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return b''
    try:
        return os.read(handle, 1 << 20)
    except OSError:
        return b''
    finally:
        os.close(handle)


order = json.loads(sys.stdin.readline())
needles = [base64.b64decode(one) for one in order['needles']]
pause = order['pauseSeconds']
own = str(os.getpid())
seen, leaks, known, sweeps, looks = set(), {}, {}, 0, 0
print('ready', flush=True)
while True:
    sweeps += 1
    pids = [pid for pid in os.listdir('/proc') if pid.isdigit() and pid != own]
    for pid in pids:
        words = read(f'/proc/{pid}/cmdline')
        looks += 1
        # Another program of a process has another environment.
        if known.get(pid) == words and sweeps % 50:
            continue
        known[pid] = words
        environment = read(f'/proc/{pid}/environ')
        looks += 1
        seen.add((pid, words))
        for place, text in (('cmdline', words), ('environ', environment)):
            for needle in needles:
                at = text.find(needle)
                while at >= 0:
                    # The whole argument, or variable with its value.
                    end = text.find(b'\0', at)
                    end = len(text) if end < 0 else end
                    leaks.setdefault((place, text[text.rfind(b'\0', 0, at) + 1 : end]), words[:200])
                    at = text.find(needle, end)
    if len(known) > 4 * len(pids):
        known = {pid: known[pid] for pid in pids if pid in known}
    # Without a pause it only looks whether the input has ended.
    if select.select([sys.stdin], [], [], pause)[0]:
        break

print(
    json.dumps(
        {
            'sweeps': sweeps,
            'looks': looks,
            'programs': len(seen),
            'leaks': [
                {'place': place, 'near': base64.b64encode(near).decode(), 'words': words.decode('latin1')}
                for (place, near), words in leaks.items()
            ],
        }
    )
)
