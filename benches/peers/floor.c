/* The least that a server can do: one thread, one epoll loop, no framework. Three uses:
 *
 *   floor PORT floor      answers every request with the same 350 bytes of a label: the floor of every ratio here
 *   floor PORT upstream   answers a label read with a label of that very id, one of a custom tag, a lead list, a campaign or
 *                         the workspace of its key likewise, and everything else with 2 KB: the upstream of every system here
 *   floor PORT tagged     the same with one entity tag for all, so that every system knows what a 304 is about
 *
 * Each says at /asked how many requests it has answered, that one apart.
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

enum { CONNECTIONS = 4096, HEAD = 8192 };
static struct { char head[HEAD]; size_t used; } connections[CONNECTIONS];

static const char LABEL[] =
    "{\"id\":\"%.36s\",\"timestamp_created\":\"2025-03-07T00:00:01.000Z\",\"created_by\":\"01911111-0000-7000-8000-"
    "000000000001\",\"organization_id\":\"01920000-0000-7000-8000-000000000061\",\"label\":\"Asked for pricing\","
    "\"interest_status_label\":\"positive\",\"interest_status\":-496,\"description\":\"Used by the team\",\"use_with_ai\":true}";
/* Others, with what their schemas name, each behind its path; the last is one for each key, by the end of its token. */
#define AT "2025-03-07T00:00:01.000Z"
#define USER "01911111-0000-7000-8000-000000000001"
#define WORKSPACE "01920000-0000-7000-8000-000000000061"
static const struct { const char *path, *before, *after; int length; } OTHERS[] = {
    {"/custom-tags/", "{\"id\":\"", "\",\"timestamp_created\":\"" AT "\",\"timestamp_updated\":\"" AT "\",\"organization_id\":\"" WORKSPACE
     "\",\"label\":\"Asked for pricing\",\"description\":\"Used by the team\"}", 36},
    {"/lead-lists/", "{\"id\":\"", "\",\"organization_id\":\"" WORKSPACE "\",\"has_enrichment_task\":false,\"owned_by\":\"" USER
     "\",\"name\":\"Prospects of the spring\",\"timestamp_created\":\"" AT "\"}", 36},
    {"/campaigns/", "{\"id\":\"", "\",\"name\":\"The spring\",\"status\":1,\"campaign_schedule\":{\"start_date\":null,\"end_date\":null,\"schedules\":"
     "[{\"name\":\"Business hours\",\"timing\":{\"from\":\"09:00\",\"to\":\"17:00\"},\"days\":{\"1\":true,\"2\":true,\"3\":true,\"4\":true,\"5\":true},"
     "\"timezone\":\"Etc/GMT+12\"}]},\"timestamp_created\":\"" AT "\",\"timestamp_updated\":\"" AT "\",\"organization\":\"" WORKSPACE
     "\",\"owned_by\":\"" USER "\",\"sequences\":[{\"steps\":[{\"type\":\"email\",\"delay\":2,\"variants\":[{\"subject\":\"Hello\",\"body\":\"Hello from "
     "all of us, and a word on what we do and what it would be to you.\"}]},{\"type\":\"email\",\"delay\":3,\"variants\":[{\"subject\":\"\",\"body\":\"A last "
     "word on that.\"}]}]}],\"email_gap\":10,\"daily_limit\":50,\"stop_on_reply\":true,\"link_tracking\":false,\"open_tracking\":false,\"email_list\":"
     "[\"one@example.com\",\"two@example.com\"]}", 36},
    {"/workspaces/current ", "{\"id\":\"01920000-0000-7000-8000-", "\",\"timestamp_created\":\"" AT "\",\"timestamp_updated\":\"" AT "\",\"owner\":\"" USER
     "\",\"name\":\"A workspace\",\"plan_id\":\"pid_hg_v1\",\"plan_id_crm\":null,\"plan_id_leadfinder\":null}", 12},
};
static char filler[2048];

static const char *tag = "";
static unsigned long asked;

/* What stands behind the path of another resource, or nothing. */
static int other(char *body, size_t room, const char *head, const char *line) {
    for (size_t n = 0; n < sizeof OTHERS / sizeof *OTHERS; n++) {
        const char *path = strstr(head, OTHERS[n].path), *token = strstr(head, "Bearer ");
        if (!path || path > line || !token) continue;
        const char *id = OTHERS[n].length == 36 ? path + strlen(OTHERS[n].path) : token + 7 + 64 - 12;
        return snprintf(body, room, "%s%.*s%s", OTHERS[n].before, OTHERS[n].length, id, OTHERS[n].after);
    }
    return 0;
}

static size_t respond(char *out, const char *head, int upstream) {
    static const char ANY[] = "01935c4b-0000-7abc-9def-000000000001";
    char body[4096];
    const char *label = strstr(head, "/lead-labels/");
    const char *line = strstr(head, "\r\n");
    int length;
    if (strncmp(head, "GET /asked ", 11) == 0)
        length = snprintf(body, sizeof body, "%lu", --asked);
    else if (!upstream || (label && label < line))
        length = snprintf(body, sizeof body, LABEL, upstream ? label + 13 : ANY);
    else if (!line || !(length = other(body, sizeof body, head, line)))
        length = snprintf(body, sizeof body, "%s", filler);
    return (size_t)sprintf(out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncache-control: public, max-age=3600\r\n"
        "%scontent-length: %d\r\n\r\n%s", tag, length, body);
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: floor PORT floor|upstream|tagged\n"), 2;
    int tagged = strcmp(argv[2], "tagged") == 0, upstream = tagged || strcmp(argv[2], "upstream") == 0, one = 1;
    if (tagged) tag = "etag: \"peer\"\r\n";
    memset(filler, 'x', 2047);
    filler[0] = filler[2046] = '"';
    int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) return perror("bind"), 1;
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener }, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (accepted < 0 || accepted >= CONNECTIONS) { if (accepted >= 0) close(accepted); continue; }
                setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                connections[accepted].used = 0;
                event = (struct epoll_event){ .events = EPOLLIN, .data.fd = accepted };
                epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
                continue;
            }
            char *head = connections[fd].head;
            ssize_t got = read(fd, head + connections[fd].used, HEAD - 1 - connections[fd].used);
            if (got <= 0) { close(fd); continue; }
            head[connections[fd].used += (size_t)got] = 0;
            if (!strstr(head, "\r\n\r\n")) continue;
            char answer[8192];
            asked++;
            size_t length = respond(answer, head, upstream);
            connections[fd].used = 0;
            if (write(fd, answer, length) != (ssize_t)length) close(fd);
        }
    }
}
