/* A vendor that answers reads of labels as fast as one thread can, and always in the same time: for crowds and for timing.
 *
 *   quick ORGANIZATIONS      prints `listens on 127.0.0.1:PORT`, and stops when its standard input ends
 *
 * A key is a letter and a number, and belongs to the organization of its number modulo ORGANIZATIONS. The letter says what
 * it may read: `a` any label, of which its organization has one under every id; `m` those whose id begins with 00000000, and
 * 404 else; `n` none, 404. Any other key, and none, is a 401. A 404 is as long as a label. A list has one label.
 *
 * It reads heads of kept-alive HTTP/1.1 requests without bodies, and takes nothing for granted but that they are sound. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 8192, HEAD = 8192 };
static struct { char head[HEAD]; size_t used; } connections[CONNECTIONS];

static const char LABEL[] =
    "{\"id\":\"%.36s\",\"timestamp_created\":\"2025-03-07T00:00:01.000Z\",\"created_by\":\"01911111-0000-7000-8000-"
    "000000000001\",\"organization_id\":\"01920000-0000-7000-8000-%012lx\",\"label\":\"Asked for pricing\","
    "\"interest_status_label\":\"positive\",\"interest_status\":-496,\"description\":\"Used by the team\",\"use_with_ai\":true}";
static const char LIST[] = "{\"items\":[%s]}", FIRST[] = "00000000-0000-4000-8000-000000000001";
static const char PROBLEM[] = "{\"statusCode\":%d,\"error\":\"%s\",\"message\":\"%-*s\"}";
/* So that a 404 has the length of a label. */
enum { PADDING = 268 };

static size_t respond(char *out, const char *head, unsigned long organizations) {
    const char *key = strcasestr(head, "authorization: bearer "), *label = strstr(head, "/lead-labels/");
    const char *reason = "OK", *end = strstr(head, "\r\n");
    char body[1024], item[512], letter = key ? key[22] : 0;
    int length, status = 200;
    /* The path of a list has a query behind it, or nothing. */
    int list = !label && strncmp(head, "GET /api/v2/lead-labels", 23) == 0;
    if (letter != 'a' && letter != 'm' && letter != 'n')
        status = 401, reason = "Unauthorized";
    else if (letter == 'n' || (!list && (!label || label > end || (letter == 'm' && strncmp(label + 13, "00000000", 8) != 0))))
        status = 404, reason = "Not Found";
    if (status == 200) {
        snprintf(item, sizeof item, LABEL, list ? FIRST : label + 13, strtoul(key + 23, NULL, 10) % organizations);
        length = snprintf(body, sizeof body, list ? LIST : "%s", item);
    }
    else
        length = snprintf(body, sizeof body, PROBLEM, status, reason, PADDING, "Not for you");
    return (size_t)sprintf(out,
        "HTTP/1.1 %d %s\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n\r\n%s", status, reason, length, body);
}

static void accept_one(int listener, int poll) {
    int one = 1, accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (accepted < 0) return;
    if (accepted >= CONNECTIONS) { close(accepted); return; }
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections[accepted].used = 0;
    struct epoll_event event = { .events = EPOLLIN, .data.fd = accepted };
    epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
}

static void take(int fd, unsigned long organizations) {
    char *head = connections[fd].head, answer[2048];
    ssize_t got = read(fd, head + connections[fd].used, HEAD - 1 - connections[fd].used);
    if (got <= 0) { close(fd); return; }
    head[connections[fd].used += (size_t)got] = 0;
    if (!strstr(head, "\r\n\r\n")) return;
    size_t length = respond(answer, head, organizations);
    connections[fd].used = 0;
    if (write(fd, answer, length) != (ssize_t)length) close(fd);
}

int main(int argc, char **argv) {
    unsigned long organizations = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (!organizations) return fprintf(stderr, "usage: quick ORGANIZATIONS\n"), 2;
    int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) return perror("bind"), 1;
    printf("listens on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener }, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, 256, -1);
        for (int at = 0; at < ready; at++) {
            if (events[at].data.fd == 0) return 0;
            if (events[at].data.fd == listener) accept_one(listener, poll);
            else take(events[at].data.fd, organizations);
        }
    }
}
