#!/usr/bin/env bash
#
# LWP 6.68 (Debian 12's libwww-perl) and a request body that comes from a function, which HTTP::Request takes for content
# of any length: what is sent where the function has nothing to give.
#
# The end of a body in chunks (RFC 9112 §7.1) is sent twice: LWP writes the function's first piece as a chunk whatever its
# length, and an empty chunk is the end; then it looks whether there is more, and ends the body. On a connection that is kept
# the second end stands before the next request, which no server can read. With one piece or more the end is sent once.
#
# seen:
#     nothing: 0\r\n\r\n0\r\n\r\n
#     a piece: 3\r\nabc\r\n0\r\n\r\n
#
# Needs apt-get, dpkg-deb, perl and python3. The server here answers when nothing has come for a second.

set -euo pipefail

folder=$(mktemp -d)
finish() {
    wait
    rm -rf "$folder"
}
trap finish EXIT
cd "$folder"
readonly PACKAGES=(libwww-perl libnet-http-perl libhttp-message-perl liburi-perl libhttp-date-perl libtimedate-perl
    liblwp-mediatypes-perl libencode-locale-perl libio-html-perl libhtml-parser-perl libhtml-tagset-perl libtry-tiny-perl libclone-perl)
apt-get download -qq "${PACKAGES[@]}" 2>/dev/null
[[ $(dpkg-deb --field libwww-perl_*.deb Version) == 6.68-1* ]]
for package in ./*.deb; do
    dpkg-deb --extract "$package" installed
done
PERL5LIB=$(printf '%s:' "$PWD"/installed/usr/share/perl5 "$PWD"/installed/usr/lib/*/perl5/*)
export PERL5LIB

cat >serve.py <<'PYTHON'
import socket

with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    for name in ("nothing", "a piece"):
        connection, _ = server.accept()
        with connection:
            connection.settimeout(1)
            came = b""
            try:
                while piece := connection.recv(1 << 16):
                    came += piece
            except TimeoutError:
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            print(f"{name}: " + came.partition(b"\r\n\r\n")[2].decode().replace("\r\n", r"\r\n"), flush=True)
PYTHON
cat >ask.pl <<'PERL'
use strict;
use warnings;
use LWP::UserAgent;

my $port = shift;
for my $pieces ([], ['abc']) {
    my $agent = LWP::UserAgent->new(keep_alive => 1);
    my @left = @$pieces;
    my $request = HTTP::Request->new(POST => "http://127.0.0.1:$port/");
    $request->content(sub { shift @left // '' });
    print $agent->request($request)->code, "\n";
}
PERL
python3 serve.py >served &
until [[ -s served ]]; do sleep 0.05; done
[[ $(perl ask.pl "$(head -n 1 served)") == $'204\n204' ]]
wait
tail -n +2 served | tee seen
diff seen - <<'SEEN'
nothing: 0\r\n\r\n0\r\n\r\n
a piece: 3\r\nabc\r\n0\r\n\r\n
SEEN
