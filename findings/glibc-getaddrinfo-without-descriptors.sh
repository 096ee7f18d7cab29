#!/usr/bin/env bash
#
# glibc 2.36 (Debian 12's libc6): getaddrinfo for a name that is in /etc/hosts, in a process that has no free descriptor.
#
# With AF_UNSPEC, which is what most programs ask, it says EAI_NONAME ("Name or service not known"): a program takes a want
# of its own for a name that does not exist. After one look-up that went well it says EAI_SYSTEM with errno EMFILE, which is
# the truth; with AF_INET it says so from the first.
#
# seen:
#     AF_UNSPEC: without a descriptor -2, with some 0, without one again -11 errno 24
#     AF_INET: without a descriptor -11 errno 24, with some 0, without one again -11 errno 24
#
# Runs the libc of the package, not the system's. Needs apt-get, dpkg-deb and a C compiler; x86-64.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq libc6 2>/dev/null
[[ $(dpkg-deb --field libc6_*.deb Version) == 2.36-9+deb12u* ]]
dpkg-deb --extract libc6_*.deb libc

cat >look-up.c <<'C'
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static void look_up(const char *when, int family, rlim_t descriptors) {
    struct addrinfo wanted = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = descriptors;
    setrlimit(RLIMIT_NOFILE, &limit);
    int result = getaddrinfo("localhost", "80", &wanted, &found);
    int cause = errno;
    printf("%s %d", when, result);
    if (result == EAI_SYSTEM) printf(" errno %d", cause);
}

int main(int count, char **arguments) {
    const char *name = arguments[count - 1];
    int family = strcmp(name, "AF_INET") == 0 ? AF_INET : AF_UNSPEC;
    printf("%s:", name);
    look_up(" without a descriptor", family, 3);
    look_up(", with some", family, 100);
    look_up(", without one again", family, 3);
    printf("\n");
}
C
cc -o look-up look-up.c
libraries=libc/lib/x86_64-linux-gnu
for family in AF_UNSPEC AF_INET; do
    "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" ./look-up "$family"
done | tee seen
diff seen - <<'SEEN'
AF_UNSPEC: without a descriptor -2, with some 0, without one again -11 errno 24
AF_INET: without a descriptor -11 errno 24, with some 0, without one again -11 errno 24
SEEN
