#!/usr/bin/env bash
#
# Redis 7.0.15 and Valkey 8.0.1 (Debian 12 and its backports): TIME, asked twice inside one Lua script that works for a while
# between the two.
#
# In Redis the second answer is later than the first; in Valkey both are the same, as if the script took no time. So a script
# that dates what it writes by TIME must ask once, and one that measures itself by it works on one of the two alone. A key
# whose PX runs out meanwhile can still be read in both, but its PTTL is 0 in Redis and all of it, 20, in Valkey.
#
# seen:
#     redis 7.0.15: time goes on, key is read, pttl 0
#     valkey 8.0.1: time stands still, key is read, pttl 20
#
# Runs the servers of the packages, not the system's. Needs apt-get, dpkg-deb and python3; x86-64.

set -euo pipefail

self=$(realpath "$0")
folder=$(mktemp -d)
trap '[[ -z ${server:-} ]] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p lists/partial cache/archives/partial redis valkey
sed 's/^Suites:.*/Suites: bookworm bookworm-backports/' /etc/apt/sources.list.d/debian.sources |
    awk 'BEGIN { RS = ""; ORS = "\n\n" } !/security/' >own.sources
apt=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$folder/none" -o "Dir::State::Lists=$folder/lists"
    -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root)
mkdir none && mv own.sources none/debian.sources
apt-get "${apt[@]}" update -qq
fetch() {
    local into=$1
    shift
    apt-get "${apt[@]}" download -qq "$@"
    for package in *.deb; do
        dpkg-deb --extract "$package" "$into"
        rm "$package"
    done
}
libraries=(liblua5.1-0 lua-cjson lua-bitop liblzf1 libjemalloc2 libhiredis0.14 libatomic1)
fetch redis redis-server/bookworm redis-tools/bookworm "${libraries[@]}"
fetch valkey valkey-server/bookworm-backports valkey-tools/bookworm-backports "${libraries[@]}"

cat >ask.py <<'PY'
import socket, sys
def ask(port, *words):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        return sock.recv(65536).decode()
port, name = int(sys.argv[1]), sys.argv[2]
script = """
redis.call('SET', KEYS[1], 'here', 'PX', '20')
local first = redis.call('TIME')
local sum = 0
for index = 1, 8000000 do sum = sum + index % 7 end
local second = redis.call('TIME')
local same = first[1] == second[1] and first[2] == second[2]
local read = redis.call('GET', KEYS[1])
return (same and 'stands still' or 'goes on') .. ', key is ' .. (read and 'read' or 'gone') .. ', pttl ' .. redis.call('PTTL', KEYS[1])
"""
version = [line for line in ask(port, "INFO", "server").split("\r\n") if line.startswith(f"{name}_version:")][0].split(":")[1]
print(f"{name} {version}: time {ask(port, 'EVAL', script, '1', 'key').split(chr(13) + chr(10))[1]}")
PY

: >seen
for name in redis valkey; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    LD_LIBRARY_PATH="$folder/$name/usr/lib/x86_64-linux-gnu" "$folder/$name/usr/bin/$name-server" \
        --port "$port" --bind 127.0.0.1 --save '' --dir "$folder" >/dev/null &
    server=$!
    until python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null; do sleep 0.05; done
    python3 ask.py "$port" "$name" | tee -a seen
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
done
diff seen <(sed -n "s/^#     \(redis\|valkey\) /\1 /p" "$self")
