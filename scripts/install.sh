#!/usr/bin/env bash
# Make .venv hold everything this project needs; safe to run again, does only what is missing.
#
#   llama-cpp-python has no wheel on the package index, and pip's own wheel cache does not know with
#   which flags or for which CPU a wheel was built. So it is compiled here once for this CPU and kept
#   in a cache of its own. AMX is left out: some virtual machines advertise it and then kill the
#   process at its first instruction.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
venv=.venv
stamp="$venv/.installed"
want="$(cat pyproject.toml scripts/install.sh | sha256sum | cut -d' ' -f1)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && "$venv/bin/python" -c 'import rag' 2>/dev/null; then
    exit 0
fi

"$python" - <<'EOF'
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"error: Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}\n"
             "hint: make install PYTHON=python3.11")
EOF
command -v c++ >/dev/null || { printf 'error: no C++ compiler\nhint: apt-get install g++ make\n' >&2; exit 1; }
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@" 2> >(grep -v '^WARNING: Location' >&2); }

version=$(sed -n 's/.*"llama-cpp-python==\([0-9.]*\)".*/\1/p' pyproject.toml)
flags="-DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_CURL=OFF -DGGML_NATIVE=ON"
if [ "$(uname -m)" = x86_64 ]; then
    no_amx="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
    flags="$flags '-DCMAKE_C_FLAGS=$no_amx' '-DCMAKE_CXX_FLAGS=$no_amx'"
fi
cpu=$( (grep -m1 -E '^(flags|Features)' /proc/cpuinfo || sysctl -n machdep.cpu.brand_string || uname -m) 2>/dev/null)
key=$(printf '%s\n' "$version" "$flags" "$cpu" "$("$venv/bin/python" -VV)" | sha256sum | cut -c1-16)
wheels="${XDG_CACHE_HOME:-$HOME/.cache}/rag/wheels/$key"
if ! ls "$wheels"/llama_cpp_python-"$version"-*.whl >/dev/null 2>&1; then
    echo "compiling llama-cpp-python $version for this CPU (about 6 minutes on two cores, once) ..." >&2
    rm -rf "$wheels.part" && mkdir -p "$wheels.part"
    CMAKE_ARGS="$flags" CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-2}" \
        pip wheel --quiet --no-deps --no-cache-dir --no-binary llama-cpp-python -w "$wheels.part" "llama-cpp-python==$version"
    rm -rf "$wheels" && mv "$wheels.part" "$wheels"
fi
echo "installing into $venv (a few minutes) ..." >&2
pip install --quiet --no-deps --force-reinstall "$wheels"/llama_cpp_python-"$version"-*.whl
pip install --progress-bar off -e '.[dev,ocr]' | awk '
    /^Collecting/ && ++found % 20 == 0 { print "  collecting packages, " found " so far"; fflush() }
    /^Installing collected/ { print "  unpacking (a minute or two)"; fflush() }' >&2
echo "$want" > "$stamp"
