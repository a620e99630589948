"""A sink of one's own in Python, a process beside the module: records in another schema, here lines of CSV.

    python3 counts_sink.py router+bind:tcp://127.0.0.1:5561 counts.csv

The module writes to it with `sinks: [{type: zeromq, url: "dealer+connect:tcp://127.0.0.1:5561"}]`. Over a router a result
is acknowledged when the next one is asked for, so a line that is written is a result that is stored; what came twice after
a crash has the same uuid, and is left out. It runs until it is stopped.
"""

import csv
import sys
from collections import Counter
from pathlib import Path

from sightglass.stream import ResultReceiver


def main(url: str, path: str) -> None:
    file = Path(path)
    seen = {line.split(",")[0] for line in file.read_text().splitlines()} if file.exists() else set()
    with ResultReceiver(url) as results, file.open("a", newline="") as out:
        table = csv.writer(out)
        while (result := results.next(timeout=3600)) is not None:
            if not result.is_frame or str(result.uuid) in seen:
                continue
            for label, count in sorted(Counter(each.label for each in result.objects).items()):
                table.writerow([result.uuid, result.source_id, result.pts, label, count])
            out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
