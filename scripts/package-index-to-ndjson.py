#!/usr/bin/env python3
"""Turns this machine's Debian package index into records that `dynamo import` reads.

One JSON object per line, {"key": "<package>", "value": {...}}, sorted by key: some tens of
thousands of small real-world records, the same on every run over the same index.

    scripts/package-index-to-ndjson.py | dynamo import packages -
    scripts/package-index-to-ndjson.py --limit 1000 --output packages.ndjson

The index comes from the first source that has one: `apt-cache dumpavail`, the lists that
`apt-get update` fetched, dpkg's own list of what is available.
"""

import argparse
import glob
import json
import os
import shutil
import signal
import subprocess
import sys

# The fields that are kept, under the names that they get; the rest is long and of no interest.
FIELDS = {
    "Package": "package",
    "Version": "version",
    "Section": "section",
    "Priority": "priority",
    "Architecture": "architecture",
    "Maintainer": "maintainer",
    "Installed-Size": "installed_size_kib",
    "Size": "size_bytes",
    "Depends": "depends",
    "Homepage": "homepage",
    "Description": "description",
}
NUMBERS = {"Installed-Size", "Size"}
# A dependency list joins a few hundred packages at most; a value stays far below the store's limit.
FIELD_CHARACTERS_MAX = 4000
LIMIT = 50_000


def plain_lists():
    """The Packages files that need no decompression."""
    lists = sorted(glob.glob("/var/lib/apt/lists/*_Packages"))
    return lists + [path for path in ["/var/lib/dpkg/available"] if os.path.exists(path)]


def index_lines(given):
    """The lines of the index, as text; ends with an explanation when there is none."""
    if given:
        yield from read_files(given)
        return
    found_any = False
    if shutil.which("apt-cache"):
        with subprocess.Popen(
            ["apt-cache", "dumpavail"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            for line in process.stdout:
                found_any = True
                yield line.decode("utf-8", "replace")
    if not found_any:
        for line in read_files(plain_lists()):
            found_any = True
            yield line
    if not found_any:
        sys.exit(
            "no package index on this machine: run `apt-get update` (as root, on Debian or "
            "Ubuntu), or name a Packages file on the command line"
        )


def read_files(paths):
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as lines:
            yield from lines
        # Two files may meet without the empty line that separates packages.
        yield "\n"


def packages(lines):
    """Each package as a dictionary of its fields; continuation lines are joined by newlines."""
    fields, last = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line.strip():
            if "Package" in fields:
                yield fields
            fields, last = {}, None
        elif line[0] in " \t":
            if last in FIELDS:
                fields[last] += "\n" + line.strip()
        else:
            last, _, value = line.partition(":")
            if last in FIELDS:
                fields[last] = value.strip()
    if "Package" in fields:
        yield fields


def record(fields):
    """What is stored under the package's name."""
    value = {}
    for field, name in FIELDS.items():
        if field not in fields:
            continue
        text = fields[field]
        if field in NUMBERS and text.isdigit():
            value[name] = int(text)
        else:
            value[name] = text[:FIELD_CHARACTERS_MAX]
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", nargs="*", help="Packages files to read instead of this machine's")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"records at most (default {LIMIT})")
    parser.add_argument("--output", help="a file instead of standard output")
    arguments = parser.parse_args()
    if arguments.limit < 1:
        parser.error("--limit is at least 1")

    # A package may be listed in several versions: the greatest text wins, whatever the order.
    newest = {}
    for fields in packages(index_lines(arguments.index)):
        key = fields["Package"]
        rank = (fields.get("Version", ""), json.dumps(fields, sort_keys=True))
        if key not in newest or rank > newest[key][0]:
            newest[key] = (rank, record(fields))

    out = open(arguments.output, "w", encoding="utf-8") if arguments.output else sys.stdout
    written = 0
    with out:
        for key in sorted(newest)[: arguments.limit]:
            line = {"key": key, "value": newest[key][1]}
            out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            written += 1
    print(f"{written} packages", file=sys.stderr)


if __name__ == "__main__":
    # Whoever reads may have seen enough (`… | head`): end quietly, as other filters do.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main()
