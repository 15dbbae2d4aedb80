#!/bin/sh
# Install what is here of a pack (pack.py) on a machine without a package index: nothing is fetched.
#
#   sh build/gpu-pack/unpack.sh FOLDER      then: export PYTHONPATH=$PWD:FOLDER/site
#
# Wheels go to FOLDER/site; the compiled kernels and the zoo into the checkout, whose build/gpu-pack this is. A wheel in parts is
# installed once all its parts have been here, in one call or in several: FOLDER keeps them. PYTHON=… for another Python 3.12.
set -eu
folder=$(mkdir -p "${1:?usage: unpack.sh FOLDER}/parts" && cd "$1" && pwd)
pack=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$pack/../.." && pwd)
python=${PYTHON:-python3}

installed() {
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$folder/site" "$@" 2>&1 |
        grep -v "^WARNING: Running pip as" || true
}

for wheel in "$pack"/*/*.whl; do
    case $wheel in "$pack"/wheels/* | *"*.whl") continue ;; esac
    installed "$wheel"
done
for from in "$pack"/*/compiled; do [ -d "$from" ] && cp "$from"/* "$checkout/kernels/"; done
for from in "$pack"/*/zoo; do [ -d "$from" ] && mkdir -p "$checkout/runtime/zoo" && cp "$from"/* "$checkout/runtime/zoo/"; done
for from in "$pack"/*/clip; do [ -d "$from" ] && mkdir -p "$pack/clip" && cp "$from"/* "$pack/clip/"; done

for sum in "$pack"/*/*.sum; do
    [ -f "$sum" ] || continue
    whole=$(basename "$sum" .sum)
    cp "$(dirname "$sum")/$whole".[0-9][0-9] "$sum" "$folder/parts/"
    [ ! -f "$(dirname "$sum")/zstd" ] || cp "$(dirname "$sum")/zstd" "$folder/parts/"
done
for sum in "$folder"/parts/*.sum; do
    [ -f "$sum" ] || continue
    whole=$(basename "$sum" .sum)
    read -r count digest <"$sum"
    here=$(find "$folder/parts" -name "$whole.[0-9][0-9]" | wc -l)
    if [ "$here" -lt "$count" ]; then
        echo "$whole: $here of $count parts"
        continue
    fi
    cat "$folder/parts/$whole".[0-9][0-9] >"$folder/$whole"
    echo "$digest  $folder/$whole" | sha256sum -c - >/dev/null
    case $whole in
    *.whl) installed "$folder/$whole" ;;
    *.tar.zst)
        mkdir -p "$checkout/build/tensorrt86"
        chmod +x "$folder/parts/zstd" 2>/dev/null || true
        zstd=$(command -v zstd || echo "$folder/parts/zstd")
        "$zstd" -q -d --long=27 -c "$folder/$whole" | tar x -C "$checkout/build/tensorrt86"
        ;;
    esac
    rm -f "$folder/$whole" "$folder/parts/$whole".*
    echo "$whole: installed"
done
[ ! -d "$folder/site" ] || ls "$folder/site" | grep -v dist-info | tr '\n' ' '
echo
