"""Reads status files a thousand times a second, as an agent would at its worst moment: a line `+PATH` on the input adds a file, `-PATH` takes it away
again. Prints a line of JSON at the end of the input. A file that is not there yet is no problem; one that cannot be parsed, one that is gone again and a
final word that is taken back are."""

import json
import os
import select
import sys
import time

FINAL = ('success', 'error', 'warning')
PERIOD = 0.001


def word(path):
    """The status in a file: `None` without one, an exception where it is none."""
    try:
        with open(path, 'rb') as handle:
            content = handle.read()
    except FileNotFoundError:
        return None
    status = json.loads(content.decode('utf-8'))[0]['status']['status']
    if status not in FINAL and status != 'transitioning':
        raise ValueError(f'unknown status {status}')
    return status


watched, reads, rounds, problems, pending = {}, 0, 0, [], b''
began = time.monotonic()
while True:
    due = time.monotonic() + PERIOD
    if select.select([sys.stdin], [], [], 0)[0]:
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, pending = (pending + chunk).split(b'\n')
        for line in lines:
            path = line[1:].decode()
            if line.startswith(b'+'):
                watched[path] = None
            else:
                watched.pop(path, None)
    for path, before in watched.items():
        try:
            now = word(path)
        except Exception as problem:
            problems.append({'kind': 'unparsable', 'path': path, 'text': str(problem)})
            continue
        if before is not None and now is None:
            problems.append({'kind': 'gone', 'path': path, 'text': before})
        elif before in FINAL and now != before:
            problems.append({'kind': 'taken back', 'path': path, 'text': f'{before}, then {now}'})
        reads += now is not None
        watched[path] = now
    rounds += 1
    time.sleep(max(0, due - time.monotonic()))

print(json.dumps({'reads': reads, 'perSecond': rounds / (time.monotonic() - began), 'problems': problems}))
