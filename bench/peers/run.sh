#!/usr/bin/env bash
# The product, the naive pipeline and LlamaIndex over one gold set, then one table.
#
#   bench/peers/run.sh GOLD CORPUS OUT [--every N] [--offset N]
#
# Each writes OUT/NAME.jsonl and goes on where it stopped. One model runs at a time: two at once
# would spoil each other's times. LlamaIndex lives in an environment of its own, with the
# product's own build of llama.cpp.
set -euo pipefail
cd "$(dirname "$0")/../.."
gold=$1 corpus=$2 out=$3
shift 3
python="${PYTHON:-.venv/bin/python}"
venv="${PEERS_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/rag/peers-venv}"
stamp="$venv/.installed"
want="$(sha256sum bench/peers/requirements.txt | cut -d' ' -f1)"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$want" ]; then
    echo "installing LlamaIndex into $venv ..." >&2
    # The wheel that the product was installed from: compiled once, for this CPU, without AMX.
    wheel=$("$python" - <<'EOF'
import json
from importlib.metadata import distribution
url = json.loads(distribution("llama-cpp-python").read_text("direct_url.json") or "{}").get("url", "")
print(url.removeprefix("file://"))
EOF
)
    [ -f "$wheel" ] || { printf 'error: no compiled llama-cpp-python\nhint: make install\n' >&2; exit 1; }
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps "$wheel"
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet -r bench/peers/requirements.txt
    echo "$want" > "$stamp"
fi
mkdir -p "$out"
# The product's own models, located and verified by it.
paths=$("$python" - <<'EOF'
from bench.support import FETCHED
from rag.config import load
from rag.commands.opening import model_path
print(model_path(load(), "llm", FETCHED), model_path(load(), "embedder", FETCHED), sep="\n")
EOF
)
llm=$(sed -n 1p <<<"$paths") embedder=$(sed -n 2p <<<"$paths")
for needed in "$llm" "$embedder"; do
    [ -e "$needed" ] && [ "$needed" != . ] || { printf 'error: peers need real models\nhint: unset RAG_LLM and RAG_EMBEDDER\n' >&2; exit 1; }
done
"$python" - "$gold" "$out/gold.jsonl" "$@" <<'EOF'
import argparse, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("gold", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--offset", type=int, default=0)
chosen = parser.parse_args()
lines = [line for line in chosen.gold.read_text(encoding="utf-8").splitlines() if line.strip()]
chosen.out.write_text("\n".join(lines[chosen.offset :: chosen.every]) + "\n", encoding="utf-8")
EOF
gold="$out/gold.jsonl"
"$python" -m rag index "$corpus" --index "$out/index"
"$python" -m rag eval "$gold" --index "$out/index" --answers "$out/rag.jsonl" --json > "$out/rag.json"
"$python" -m bench.peers.naive "$gold" --corpus "$corpus" --out "$out/naive.jsonl"
"$venv/bin/python" -m bench.peers.llamaindex "$gold" --corpus "$corpus" --out "$out/llamaindex.jsonl" \
    --llm "$llm" --embedder "$embedder"
for peer in naive llamaindex; do
    "$python" - "$gold" "$out/$peer.jsonl" "$out/$peer.ordered.jsonl" <<'EOF'
import sys
from pathlib import Path
from bench.peers.common import in_order
in_order(*map(Path, sys.argv[1:]))
EOF
    "$python" -m rag eval "$gold" --index "$out/index" --answers "$out/$peer.ordered.jsonl" --json > "$out/$peer.json"
done
"$python" -m bench.peers.table "rag=$out/rag.json" "naive=$out/naive.json" \
    "llamaindex=$out/llamaindex.json" | tee "$out/table.txt"
