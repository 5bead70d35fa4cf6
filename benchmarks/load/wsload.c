/* wsload: a WebSocket load generator in one thread, for the benchmarks of wsauth.
 *
 *   wsload connects|echo|reject|idle|hold|up|down --port N [options]
 *
 * connects  TCP connect, upgrade, check the 101, one text message and its echo, close; again and again
 * echo      opens its connections, then keeps `depth` messages under way on each; with --pace each sends one
 *           every so many milliseconds instead, whether or not the last came back
 * reject    handshakes that must be refused with the status of --expect
 * idle      opens its connections, prints "open", and holds them until standard input ends; with --deaf it reads
 *           nothing after the 101, with --flood it sends frames of --size bytes for as long as there is room
 * hold      the same, but each connection sends one message every --pace milliseconds (0: none), may be closed
 *           by the server with the code of --expect, and everything is written to --log, one struct event each;
 *           prints "closed" when the server has closed them all
 * up, down  opens its connections and sends frames of --size bytes, or reads whatever comes; the count is bytes
 *
 * Tokens come from a file, one a line, taken in turn; with --once each serves for one handshake, and the
 * run ends after the last. --size is one size, or two (20-900) for messages of mixed sizes. Everything that is
 * not as it must be is counted by kind and never tried again. The answer is one line of JSON on standard output.
 */
#define _GNU_SOURCE
#include "tally.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 18000, MAX_DEPTH = 64, MAX_TOKENS = 4000000, MAX_SECONDS = 600 };
enum { LEFT = 4096, CHUNK = 65536, MAX_MESSAGE = 1024, MAX_FRAME = 1 << 20, HEAD_LIMIT = 16384, HEADER = 14 };
enum { OPENING_AT_ONCE = 64, DEAF_BUFFER = 65536, SOURCES = 8 };
static const double OPERATION_TIMEOUT = 10.0; /* seconds for a handshake, an echo or a close */

/* The sample handshake of RFC 6455 section 1.3, so that the expected answer is a constant. */
static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

enum mode { CONNECTS, ECHO, REJECT, IDLE, HOLD, UP, DOWN };
enum state { FREE, HANDSHAKE, OPEN, CLOSING, ENDED }; /* ENDED: only the end of TCP is awaited */

struct connection {
    int fd;
    enum state state;
    double began;           /* when the operation under way began, for the time limit */
    unsigned next, waiting; /* messages sent; those of them that are not answered yet */
    double sent[MAX_DEPTH]; /* when each unanswered message was sent: rings, like the sizes of messages */
    double late[MAX_DEPTH];
    size_t flooded; /* bytes of the large frame that are out */
    size_t have;
    unsigned char left[LEFT]; /* an incomplete head or frame, until more comes */
};

static struct {
    enum mode mode;
    char *path, *via, *tokens, *log, *origin, *size_text;
    int port, connections, depth, expect, once, deaf, flood;
    double seconds, pace;
    size_t count, skip, smallest, largest;
} option = {.path = "/ws", .via = "none", .connections = 1, .depth = 1, .expect = 401, .size_text = "64", .seconds = 1};

static struct connection *connections;
static char **token;
static size_t tokens, next_token;
static int epoll, busy, opening, opened, closed, stopping;
static struct { unsigned char *at; size_t have; } in; /* what was read on the connection at hand */
static unsigned char inbox[LEFT + CHUNK], payload[MAX_MESSAGE], large[HEADER + MAX_FRAME];
static size_t large_size;

/* The messages of one ring, twice in a row, so that any MAX_DEPTH that follow each other are one piece. */
static unsigned char message[2 * MAX_DEPTH * (HEADER + MAX_MESSAGE)];
static size_t message_at[2 * MAX_DEPTH + 1], message_size[MAX_DEPTH];

static const unsigned char close_frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}; /* 1000, mask 0 */

static void release(struct connection *c) {
    if (c->state == HANDSHAKE) opening--;
    close(c->fd);
    c->state = FREE;
    busy--;
}

static void fail(struct connection *c, const char *kind) {
    count_error("%s", kind);
    release(c);
}

static void watch(struct connection *c, int change, uint32_t what) {
    struct epoll_event event = {.events = what, .data.ptr = c};
    if (epoll_ctl(epoll, change, c->fd, &event)) die("epoll_ctl failed");
}

/* Send a small piece; the socket of a connection that obeys this protocol always has room for it. */
static int put(struct connection *c, const void *bytes, size_t size) {
    ssize_t n = send(c->fd, bytes, size, MSG_NOSIGNAL);
    if (n == (ssize_t)size) return 1;
    fail(c, n < 0 ? "send failed" : "short send");
    return 0;
}

/* Send the next messages in one piece, as a client does that has several ready. */
static int put_messages(struct connection *c, unsigned count, double at) {
    unsigned place = c->next % MAX_DEPTH;
    for (unsigned i = 0; i < count; i++) c->sent[(c->next + i) % MAX_DEPTH] = at;
    c->next += count, c->waiting += count, c->began = at;
    return put(c, message + message_at[place], message_at[place + count] - message_at[place]);
}

/* Send large frames until the socket takes no more, or a few: the others wait. */
static void put_flood(struct connection *c) {
    for (int i = 0; i < 16; i++) {
        ssize_t n = send(c->fd, large + c->flooded, large_size - c->flooded, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN) fail(c, "send failed");
            return;
        }
        c->flooded = (c->flooded + (size_t)n) % large_size;
        if (option.mode == UP) done += (size_t)n;
    }
}

/* Write the head of one handshake into `out`; the answer is its length. */
static size_t handshake_head(char *out, size_t room) {
    static const struct { const char *via, *query, *header; } places[] = {
        {"none", "", ""}, {"header", "", "Authorization: Bearer "}, {"query", "?token=", ""},
        {"ticket", "?ticket=", ""}, {"cookie", "", "Cookie: "}};
    int i = 0;
    while (strcmp(places[i].via, option.via)) i++;
    const char *t = tokens ? token[next_token % tokens] : "", *query = places[i].query, *header = places[i].header;
    next_token++;
    int n = snprintf(out, room,
                     "GET %s%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s%s%s%s%s%s\r\n",
                     option.path, query, *query ? t : "", option.port, KEY, header, *header ? t : "",
                     *header ? "\r\n" : "", option.origin ? "Origin: " : "", option.origin ? option.origin : "",
                     option.origin ? "\r\n" : "");
    if (n < 0 || (size_t)n >= room) die("a token is too long");
    return (size_t)n;
}

/* Take the next of a few addresses: who ends TCP first keeps the port for a while, and one address has 28,232. */
static void take_source(struct connection *c) {
    static uint32_t turn;
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + turn++ % SOURCES);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) die("no address of loopback to come from");
}

static void begin(struct connection *c) {
    static char head[HEAD_LIMIT];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)option.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(c, 0, offsetof(struct connection, left));
    c->state = HANDSHAKE, c->began = now();
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("no socket: is the limit of open files too low?");
    int on = 1, small = DEAF_BUFFER;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (option.deaf) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (option.mode == REJECT) take_source(c);
    busy++, opening++;
    /* On loopback a blocking connect returns as soon as the kernel has queued it: no state of its own. */
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0) { fail(c, "connect failed"); return; }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
    put(c, head, handshake_head(head, sizeof head));
}

/* Go on with an accepted connection as the mode demands. */
static void on_open(struct connection *c) {
    c->state = OPEN;
    opening--, opened++;
    if (option.mode == CONNECTS) {
        put_messages(c, 1, c->began); /* a cycle is timed from its TCP connect */
    } else if (option.mode == ECHO && !option.pace) {
        put_messages(c, (unsigned)option.depth, now());
    } else if (option.mode == UP || option.flood) {
        watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    } else if (option.deaf) {
        watch(c, EPOLL_CTL_MOD, 0);
    }
}

/* Return the value of a header in a head that ends at `end`; NULL where there is none. */
static const char *header_of(const char *name, const unsigned char *end) {
    size_t size = strlen(name);
    for (const unsigned char *line = in.at; line && line < end; line = memchr(line, '\n', (size_t)(end - line))) {
        if (*line == '\n') line++;
        if ((size_t)(end - line) > size && !strncasecmp((const char *)line, name, size) && line[size] == ':')
            return (const char *)line + size + 1 + strspn((const char *)line + size + 1, " ");
    }
    return NULL;
}

/* Go on with a refusal: wait for its body, then for the end of TCP, or end it where the server would go on. */
static void on_refusal(struct connection *c, const unsigned char *end) {
    const char *length = header_of("content-length", end), *connection = header_of("connection", end);
    size_t whole = (size_t)(end - in.at) + 4 + (length ? strtoul(length, NULL, 10) : 0);
    if (in.have < whole) return;
    add_sample(now() - c->began);
    if (length && !(connection && !strncasecmp(connection, "close", 5))) {
        release(c);
        return;
    }
    opening--;
    c->state = ENDED;
}

/* Read the response head, once it is whole; 0 when nothing more can be done now. */
static int on_head(struct connection *c) {
    unsigned char *end = memmem(in.at, in.have, "\r\n\r\n", 4);
    if (!end) return 0;
    int status = 0;
    size_t size = (size_t)(end - in.at) + 4;
    if (sscanf((char *)in.at, "HTTP/1.1 %3d", &status) != 1) { fail(c, "no HTTP response"); return 0; }
    if (option.mode == REJECT && status == option.expect) { on_refusal(c, end); return 0; }
    if (status != 101 || option.mode == REJECT) {
        count_error("status %d", status);
        release(c);
        return 0;
    }
    if (!memmem(in.at, size, ACCEPT, sizeof ACCEPT - 1)) { fail(c, "wrong Sec-WebSocket-Accept"); return 0; }
    in.at += size, in.have -= size;
    on_open(c);
    return c->state != FREE;
}

static void on_echo(struct connection *c, const unsigned char *body, size_t size, double at) {
    unsigned place = (c->next - c->waiting) % MAX_DEPTH;
    if (!c->waiting || size != message_size[place] || memcmp(body, payload, size)) { fail(c, "wrong echo"); return; }
    double latency = at - c->sent[place];
    if (option.mode == HOLD) write_down(wall() - latency, latency, c->late[place], (int)(c - connections), 0);
    else add_sample(latency);
    c->waiting--;
    if (option.mode == CONNECTS && put(c, close_frame, sizeof close_frame)) c->state = CLOSING;
}

static void on_close_frame(struct connection *c, const unsigned char *body, size_t size) {
    int code = size >= 2 ? body[0] << 8 | body[1] : 1005;
    if (c->state == CLOSING && code == 1000) { c->state = ENDED; return; }
    if (option.mode == HOLD && c->state == OPEN && code == option.expect) {
        unsigned char reply[] = {0x88, 0x82, 0, 0, 0, 0, (unsigned char)(code >> 8), (unsigned char)code};
        write_down(wall(), 0, 0, (int)(c - connections), code);
        if (++closed == opened) printf("closed\n"), fflush(stdout);
        if (put(c, reply, sizeof reply)) c->state = ENDED;
        return;
    }
    count_error("closed with %d", code);
    release(c);
}

/* Take one whole frame (a server's: unmasked, small); 0 when there is none. */
static int on_frame(struct connection *c, double at) {
    if (in.have < 2) return 0;
    size_t size = in.at[1] & 0x7f, head = 2;
    if (size == 126) {
        if (in.have < 4) return 0;
        size = (size_t)in.at[2] << 8 | in.at[3], head = 4;
    }
    if (in.at[1] & 0x80 || size > MAX_MESSAGE) { fail(c, "bad frame"); return 0; }
    if (in.have < head + size) return 0;
    switch (in.at[0]) {
    case 0x81: on_echo(c, in.at + head, size, at); break;
    case 0x88: on_close_frame(c, in.at + head, size); break;
    case 0x89: { /* a keep-alive ping, with or without a body, is answered masked with 0 */
        unsigned char pong[6 + 125] = {0x8a, (unsigned char)(0x80 | size)};
        if (size <= 125) memcpy(pong + 6, in.at + head, size), put(c, pong, 6 + size);
        else fail(c, "bad frame");
        break;
    }
    default: fail(c, "bad frame");
    }
    if (c->state == FREE) return 0;
    in.at += head + size, in.have -= head + size;
    return 1;
}

/* Take everything that was read; every message that was answered makes room for the next one. */
static void take(struct connection *c) {
    if (c->state == HANDSHAKE && !on_head(c)) return;
    if (option.mode == DOWN || option.deaf) {
        if (option.mode == DOWN) done += in.have;
        in.have = 0;
        return;
    }
    double at = now();
    while (c->state != FREE && c->state != ENDED && on_frame(c, at)) {}
    if (option.mode == ECHO && !option.pace && !stopping && c->state == OPEN && c->waiting < (unsigned)option.depth)
        put_messages(c, (unsigned)option.depth - c->waiting, at);
}

static void on_readable(struct connection *c) {
    if (c->state == ENDED) c->have = 0;
    memcpy(inbox, c->left, c->have);
    ssize_t n = recv(c->fd, inbox + c->have, CHUNK, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return;
        if (n == 0 && c->state == ENDED) { release(c); return; }
        const char *place = c->state == HANDSHAKE ? "handshake" : c->state == OPEN ? "open" : "closing";
        count_error("%s while %s", n ? "reset" : "end of file", place);
        release(c);
        return;
    }
    if (c->state == ENDED) return;
    in.at = inbox, in.have = c->have + (size_t)n;
    take(c);
    if (c->state == FREE) return;
    if (in.have > LEFT) { fail(c, "too much at once"); return; }
    memcpy(c->left, in.at, c->have = in.have);
}

static void fail_overdue(double at) {
    for (int i = 0; i < option.connections; i++) {
        struct connection *c = &connections[i];
        int owes = c->state != FREE && (c->state != OPEN || c->waiting);
        if (owes && at - c->began > OPERATION_TIMEOUT) fail(c, "timeout");
    }
}

/* Begin connections where there is room; false when no more will ever begin. */
static int begin_more(size_t *begun) {
    int stays = option.mode != CONNECTS && option.mode != REJECT;
    for (int i = 0; i < option.connections; i++) {
        if (stays && (*begun >= (size_t)option.connections || opening >= OPENING_AT_ONCE)) break;
        if (!stays && option.count && *begun >= option.count) return 0;
        if (option.once && next_token >= tokens) return 0;
        if (connections[i].state == FREE) {
            begin(&connections[i]);
            ++*begun;
        }
    }
    return 1;
}

static void step(double seconds) {
    struct epoll_event events[256];
    long nanoseconds = seconds > 0 ? (long)(seconds * 1e9) : 0;
    struct timespec wait = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    int n = epoll_pwait2(epoll, events, 256, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state != FREE && events[i].events & ~(unsigned)EPOLLOUT) on_readable(c);
        if (c->state == OPEN && events[i].events & EPOLLOUT) put_flood(c);
    }
}

/* Send every message that is due, each connection in its turn; the answer is how many seconds to wait. */
static double send_due(double start, size_t *turn) {
    if (!option.pace) return 0.1;
    double apart = option.pace / 1e3 / option.connections;
    for (;; ++*turn) {
        double at = now(), late = at - (start + apart * (double)*turn);
        struct connection *c = &connections[*turn % (size_t)option.connections];
        if (late < 0) return -late;
        if (c->state != OPEN) continue;
        if (c->waiting == MAX_DEPTH) { fail(c, "too many echoes outstanding"); continue; }
        c->late[c->next % MAX_DEPTH] = late;
        put_messages(c, 1, at);
    }
}

static void hold_until_input_ends(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char byte;
    size_t turn = 0;
    printf("open\n");
    fflush(stdout);
    double start = now();
    while (poll(&input, 1, 0) == 0 || (input.revents && read(0, &byte, 1) > 0)) {
        double wait = send_due(start, &turn);
        step(wait < 0.1 ? wait : 0.1);
    }
}

/* Run for the time given; the answer is how many seconds were counted. */
static double run(void) {
    int holds = option.mode == IDLE || option.mode == HOLD, paced = option.mode == ECHO && option.pace;
    int stays = option.mode != CONNECTS && option.mode != REJECT;
    size_t begun = 0, turn = 0;
    double start = now(), limit = start + option.seconds, swept = start, pacing = 0, at;
    for (;;) {
        at = now();
        if (at >= limit) break;
        int all = !begin_more(&begun) || (stays && begun == (size_t)option.connections);
        if (all && !busy && !holds) break;
        if (holds && all && !opening) break;
        if (at - swept > 1) fail_overdue(swept = at);
        double wait = limit - at < 0.1 ? limit - at : 0.1;
        if (paced && all && !opening) {
            if (!pacing) pacing = at;
            double due = send_due(pacing, &turn);
            if (due < wait) wait = due;
        }
        step(wait);
    }
    if (holds && opening) count_error("not opened in time");
    if (holds) done = (size_t)opened, hold_until_input_ends();
    return at - start;
}

/* Let what is under way end, uncounted, so that the server is not left with torn connections. */
static void wind_down(void) {
    double limit = now() + 1;
    stopping = 1;
    if (option.mode >= UP || option.deaf || option.flood) return;
    for (int i = 0; (option.mode == ECHO || option.mode == HOLD) && i < option.connections; i++)
        while (connections[i].state == OPEN && connections[i].waiting && now() < limit) step(0.01);
    for (int i = 0; option.mode != CONNECTS && i < option.connections; i++) {
        struct connection *c = &connections[i];
        if (option.mode == HOLD && c->state == OPEN && c->waiting) count_error("no echo");
        if (c->state == OPEN && put(c, close_frame, sizeof close_frame)) c->state = CLOSING;
    }
    while (busy && now() < limit) step(0.01);
}

static void read_tokens(void) {
    FILE *file = fopen(option.tokens, "r");
    char *line = NULL;
    size_t room = 0, skipped = 0;
    ssize_t n;
    if (!file || !(token = calloc(MAX_TOKENS, sizeof *token))) die("cannot read the file of tokens");
    while (tokens < MAX_TOKENS && (n = getline(&line, &room, file)) > 0) {
        if (skipped++ < option.skip) continue;
        line[strcspn(line, "\r\n")] = 0;
        if (!(token[tokens++] = strdup(line))) die("no memory for tokens");
    }
    free(line);
    fclose(file);
    if (!tokens) die("the file of tokens has none left");
}

/* Write one masked frame; the answer is its length. */
static size_t make_frame(unsigned char *out, unsigned first, size_t size) {
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t extra = size < 126 ? 0 : size < 65536 ? 2 : 8;
    out[0] = (unsigned char)first;
    out[1] = (unsigned char)(0x80 | (extra == 0 ? size : extra == 2 ? 126 : 127));
    for (size_t i = 0; i < extra; i++) out[2 + i] = (unsigned char)(size >> 8 * (extra - 1 - i));
    memcpy(out + 2 + extra, mask, 4);
    for (size_t i = 0; i < size; i++) out[6 + extra + i] = 'w' ^ mask[i % 4];
    return 6 + extra + size;
}

static void make_messages(void) {
    if (option.mode == UP || option.flood) {
        large_size = make_frame(large, 0x82, option.largest);
        return;
    }
    memset(payload, 'w', sizeof payload);
    uint64_t random = 1;
    for (int i = 0; i < MAX_DEPTH; i++) { /* Knuth's MMIX generator: the same sizes in every run */
        random = random * 6364136223846793005u + 1442695040888963407u;
        message_size[i] = option.smallest + (random >> 33) % (option.largest - option.smallest + 1);
    }
    for (int i = 0; i < 2 * MAX_DEPTH; i++)
        message_at[i + 1] = message_at[i] + make_frame(message + message_at[i], 0x81, message_size[i % MAX_DEPTH]);
}

static void read_sizes(void) {
    char *rest;
    option.smallest = option.largest = strtoul(option.size_text, &rest, 10);
    if (*rest == '-') option.largest = strtoul(rest + 1, &rest, 10);
    size_t most = option.mode == UP || option.flood ? MAX_FRAME : MAX_MESSAGE;
    if (*rest || option.smallest < 1 || option.largest < option.smallest || option.largest > most)
        die("--size: 1 to 1024 bytes, or 1048576 where they are not echoed");
}

static void check_options(void) {
    static const char *const places[] = {"none", "header", "query", "ticket", "cookie"};
    int known = 0;
    for (int i = 0; i < 5; i++) known |= !strcmp(option.via, places[i]);
    if (!known) die("--via: header, query, ticket, cookie or none");
    if (option.port < 1 || option.port > 65535) die("--port is missing");
    if (option.connections < 1 || option.connections > MAX_CONNECTIONS) die("--connections: 1 to 18000");
    if (option.depth < 1 || option.depth > MAX_DEPTH) die("--depth: 1 to 64");
    if (!(option.seconds > 0 && option.seconds <= MAX_SECONDS)) die("--seconds: up to 600");
    if (!(option.pace >= 0 && option.pace <= 60000)) die("--pace: up to 60000 milliseconds");
    if (option.mode == HOLD && !option.log) die("--log is missing");
    if (strcmp(option.via, "none") && !option.tokens) die("--tokens is missing");
    if ((option.deaf || option.flood) && option.mode != IDLE) die("--deaf and --flood are for idle");
    read_sizes();
}

static void read_options(int argc, char **argv) {
    static const char *const modes[] = {"connects", "echo", "reject", "idle", "hold", "up", "down"};
    static const struct { const char *name; char kind; void *at; } known[] = {
        {"--port", 'i', &option.port}, {"--path", 's', &option.path}, {"--connections", 'i', &option.connections},
        {"--depth", 'i', &option.depth}, {"--seconds", 'd', &option.seconds}, {"--count", 'z', &option.count},
        {"--size", 's', &option.size_text}, {"--tokens", 's', &option.tokens}, {"--skip", 'z', &option.skip},
        {"--via", 's', &option.via}, {"--origin", 's', &option.origin}, {"--expect", 'i', &option.expect},
        {"--pace", 'd', &option.pace}, {"--log", 's', &option.log}, {"--once", 'f', &option.once},
        {"--deaf", 'f', &option.deaf}, {"--flood", 'f', &option.flood}};
    const int count = (int)(sizeof known / sizeof *known);
    int mode = 0;
    while (mode < 7 && (argc < 2 || strcmp(argv[1], modes[mode]))) mode++;
    if (mode == 7) die("usage: wsload connects|echo|reject|idle|hold|up|down --port N [--path P] [--connections N]"
                       " [--depth N] [--seconds S] [--count N] [--size N|N-N] [--tokens FILE] [--skip N] [--once]"
                       " [--via header|query|ticket|cookie|none] [--origin O] [--expect N] [--pace MS] [--log FILE]"
                       " [--deaf] [--flood]");
    option.mode = (enum mode)mode;
    for (int i = 2; i < argc; i++) {
        int k = 0;
        while (k < count && strcmp(argv[i], known[k].name)) k++;
        if (k == count) die("unknown option");
        if (known[k].kind == 'f') { *(int *)known[k].at = 1; continue; }
        if (i + 1 == argc) die("an option lacks its value");
        char *value = argv[++i];
        switch (known[k].kind) {
        case 'i': *(int *)known[k].at = atoi(value); break;
        case 'd': *(double *)known[k].at = atof(value); break;
        case 'z': *(size_t *)known[k].at = strtoul(value, NULL, 10); break;
        default: *(char **)known[k].at = value;
        }
    }
    check_options();
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1); /* nanoseconds: messages are to be sent when they are due */
    alarm(MAX_SECONDS + 60);     /* whatever goes wrong, it does not run on */
    if (option.tokens) read_tokens();
    make_messages();
    connections = calloc((size_t)option.connections, sizeof *connections);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || epoll < 0) die("no memory");
    double before = cpu_seconds();
    double seconds = run();
    double cpu = cpu_seconds() - before;
    size_t count = done, counted = samples;
    wind_down();
    if (option.mode == HOLD) write_log(option.log);
    report(count, seconds, counted, cpu);
    return 0;
}
