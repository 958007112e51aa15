"""`python -m aircraftlib [database]`: what is in the database."""

from __future__ import annotations

import sys

from aircraftlib.database import Database

LINES = 10


def main() -> None:
    database = Database(sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        counts, rows = database.counts(), database.aircraft()
    except OSError as error:
        sys.exit(str(error))
    print(f"{database.path}: " + ", ".join(f"{count} rows of {table}" for table, count in counts.items()))
    for row in sorted(rows, key=lambda row: row["timestamp"])[-LINES:]:
        print(
            f"{row['icao24']}  {row['callsign'] or '-':8}  {row['latitude']:8.4f} {row['longitude']:9.4f}  "
            f"{row['airline'] or ''}".rstrip()
        )


if __name__ == "__main__":
    main()
