"""Holds package descriptions as dicts, as a Python service that caches JSON would."""
import json
import sys

held = []
for copy in range(int(sys.argv[2])):
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            record["Depends-List"] = [d.strip() for d in record.get("Depends", "").split(",")]
            record["Size"] = int(record.get("Size", 0))
            held.append(record)
by_name = {record.get("Package"): record for record in held}
print("ready", flush=True)
sys.stdin.read()
