#!/bin/sh
# From nothing to a REST answer: train date conversion, look at the scores, ask the started server.
# usage: BIN=.venv/bin RUN=runs/demo PORT=5000 sh recipes/demo.sh
set -eu
BIN=${BIN:-.venv/bin} RUN=${RUN:-runs/demo} PORT=${PORT:-5000}

echo "== training: s2s train date-attention -o $RUN"
"$BIN/s2s" train date-attention -o "$RUN" --overwrite

echo "== evaluating: s2s evaluate $RUN --json"
"$BIN/s2s" evaluate "$RUN" --json

echo "== answering: s2s serve $RUN --port $PORT"
"$BIN/s2s" serve "$RUN" --port "$PORT" &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT INT TERM

# The demo uses what s2s installs; by hand it is:
#   curl -s localhost:5000/translate -d q='JUN 17, 2013' -d source=src -d target=tgt
"$BIN/python" - "http://127.0.0.1:$PORT" <<'PYTHON'
import json, sys, time, urllib.error, urllib.request

url = sys.argv[1]
for _ in range(150):
    try:
        urllib.request.urlopen(url + "/health").close()
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.2)
else:
    sys.exit("the server did not start")
question = {"q": ["TUESDAY, SEPTEMBER 25, 1984", "10/31/90", "Jun 17, 2013"], "source": "src", "target": "tgt"}
request = urllib.request.Request(url + "/translate", json.dumps(question).encode(), {"Content-Type": "application/json"})
with urllib.request.urlopen(request) as answer:
    print("POST /translate", json.dumps(question))
    print(answer.read().decode())
PYTHON
echo "== the attention picture: $RUN/plots/attention-1.png"
