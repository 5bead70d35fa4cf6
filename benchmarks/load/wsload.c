/* wsload: a WebSocket load generator in one thread, for the benchmarks of wsauth.
 *
 *   wsload connects|echo|reject|idle|hold --port N [options]
 *
 * connects  TCP connect, upgrade, check the 101, one text message and its echo, close; again and again
 * echo      opens its connections, then keeps `depth` messages under way on each
 * reject    handshakes that must be refused with the status of --expect
 * idle      opens its connections, prints "open", and holds them until standard input ends
 * hold      the same, but each connection sends one message every --pace milliseconds (0: none), may be closed
 *           by the server with the code of --expect, and everything is written to --log, one struct event each;
 *           prints "closed" when the server has closed them all
 *
 * Tokens come from a file, one a line, taken in turn; with --once each serves for one handshake, and the
 * run ends after the last. Everything that is not as it must be is counted by kind and never tried again.
 * The answer is one line of JSON on standard output.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 18000, MAX_DEPTH = 64, MAX_KINDS = 32, MAX_TOKENS = 4000000, MAX_SECONDS = 600 };
enum { BUFFER = 4096, MAX_MESSAGE = 1024, HEAD_LIMIT = 16384, OPENING_AT_ONCE = 64 };
static const size_t MAX_SAMPLES = 16000000;
static const double OPERATION_TIMEOUT = 10.0; /* seconds for a handshake, an echo or a close */

/* The sample handshake of RFC 6455 section 1.3, so that the expected answer is a constant. */
static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

enum mode { CONNECTS, ECHO, REJECT, IDLE, HOLD };
enum state { FREE, HANDSHAKE, OPEN, CLOSING, ENDED }; /* ENDED: only the end of TCP is awaited */

struct connection {
    int fd;
    enum state state;
    double began;           /* when the operation under way began, for the time limit */
    double sent[MAX_DEPTH]; /* when each unanswered message was sent: a ring */
    double late[MAX_DEPTH];
    unsigned first, waiting;
    size_t have;
    unsigned char in[BUFFER];
};

/* What `hold` writes down: an echo (code 0, `at` is when its message was sent) or a close frame (its code). */
struct event {
    double at;      /* seconds since the epoch */
    double latency; /* seconds from sending to the echo */
    double late;    /* seconds by which the message was sent too late */
    int connection, code;
};

static struct {
    enum mode mode;
    const char *path, *via, *tokens, *log;
    int port, connections, depth, expect, once, size, pace;
    double seconds;
    size_t count, skip;
} option = {.path = "/ws", .via = "none", .connections = 1, .depth = 1, .expect = 401, .size = 64, .seconds = 1};

static struct { char name[40]; unsigned long count; } kinds[MAX_KINDS];
static struct connection *connections;
static char **token;
static size_t tokens, next_token, samples, sample_room, done;
static unsigned *sample; /* latencies in microseconds */
static struct event *event_log;
static size_t events_logged, event_room;
static int epoll, busy, opening, opened, closed, stopping;
static unsigned char message[MAX_MESSAGE + 16], payload[MAX_MESSAGE];
static size_t message_size;
static const unsigned char close_frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}; /* 1000, mask 0 */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *text) {
    fprintf(stderr, "wsload: %s\n", text);
    exit(2);
}

static void count_error(const char *format, ...) {
    char name[sizeof kinds[0].name];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    int i = 0;
    while (i < MAX_KINDS - 1 && kinds[i].name[0] && strcmp(kinds[i].name, name)) i++;
    strcpy(kinds[i].name, name);
    kinds[i].count++;
}

static void add_sample(double seconds) {
    done++;
    if (samples == sample_room) {
        if (sample_room >= MAX_SAMPLES) return;
        sample_room = sample_room ? sample_room * 2 : 65536;
        if (!(sample = realloc(sample, sample_room * sizeof *sample))) die("no memory for latencies");
    }
    sample[samples++] = (unsigned)(seconds * 1e6);
}

static void write_down(struct connection *c, double at, double latency, double late, int code) {
    if (events_logged == event_room) {
        if (event_room >= MAX_SAMPLES) die("too many events");
        event_room = event_room ? event_room * 2 : 65536;
        if (!(event_log = realloc(event_log, event_room * sizeof *event_log))) die("no memory for events");
    }
    event_log[events_logged++] = (struct event){at, latency, late, (int)(c - connections), code};
}

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

/* Send a small piece; the socket of a connection that obeys this protocol always has room for it. */
static int put(struct connection *c, const void *bytes, size_t size) {
    ssize_t n = send(c->fd, bytes, size, MSG_NOSIGNAL);
    if (n == (ssize_t)size) return 1;
    fail(c, n < 0 ? "send failed" : "short send");
    return 0;
}

static int put_message(struct connection *c) {
    c->sent[(c->first + c->waiting++) % MAX_DEPTH] = c->began = now();
    return put(c, message, message_size);
}

/* Write the head of one handshake into `out`; the answer is its length. */
static size_t handshake_head(char *out, size_t room) {
    const char *t = tokens ? token[next_token % tokens] : "";
    int query = tokens && !strcmp(option.via, "query"), header = tokens && !strcmp(option.via, "header");
    next_token++;
    int n = snprintf(out, room,
                     "GET %s%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                     option.path, query ? "?token=" : "", query ? t : "", option.port, KEY,
                     header ? "Authorization: Bearer " : "", header ? t : "", header ? "\r\n" : "");
    if (n < 0 || (size_t)n >= room) die("a token is too long");
    return (size_t)n;
}

static void begin(struct connection *c) {
    static char head[HEAD_LIMIT];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)option.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *c = (struct connection){.state = HANDSHAKE, .began = now()};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("no socket: is the limit of open files too low?");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    busy++, opening++;
    /* On loopback a blocking connect returns as soon as the kernel has queued it: no state of its own. */
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0) { fail(c, "connect failed"); return; }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl failed");
    put(c, head, handshake_head(head, sizeof head));
}

static void consume(struct connection *c, size_t size) {
    memmove(c->in, c->in + size, c->have -= size);
}

/* Go on with an accepted connection as the mode demands. */
static void on_open(struct connection *c) {
    c->state = OPEN;
    opening--, opened++;
    if (option.mode == CONNECTS) {
        double began = c->began; /* a cycle is timed from its TCP connect */
        if (put_message(c)) c->sent[0] = began;
    } else if (option.mode == ECHO) {
        for (int i = 0; i < option.depth; i++)
            if (!put_message(c)) return;
    }
}

/* Read the response head, once it is whole; 0 when nothing more can be done now. */
static int on_head(struct connection *c) {
    unsigned char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
    if (!end) {
        if (c->have == BUFFER) fail(c, "response head too large");
        return 0;
    }
    int status = 0;
    size_t size = (size_t)(end - c->in) + 4;
    if (sscanf((char *)c->in, "HTTP/1.1 %3d", &status) != 1) { fail(c, "no HTTP response"); return 0; }
    if (option.mode == REJECT && status == option.expect) {
        add_sample(now() - c->began);
        opening--;
        c->state = ENDED;
        return 0;
    }
    if (status != 101 || option.mode == REJECT) {
        count_error("status %d", status);
        release(c);
        return 0;
    }
    if (!memmem(c->in, size, ACCEPT, sizeof ACCEPT - 1)) { fail(c, "wrong Sec-WebSocket-Accept"); return 0; }
    consume(c, size);
    on_open(c);
    return c->state != FREE;
}

static void on_echo(struct connection *c, const unsigned char *body, size_t size) {
    if (!c->waiting || size != (size_t)option.size || memcmp(body, payload, size)) { fail(c, "wrong echo"); return; }
    double latency = now() - c->sent[c->first];
    if (option.mode == HOLD) write_down(c, wall() - latency, latency, c->late[c->first], 0);
    else add_sample(latency);
    c->first = (c->first + 1) % MAX_DEPTH;
    c->waiting--;
    if (option.mode == ECHO) {
        if (!stopping) put_message(c);
    } else if (option.mode == CONNECTS && put(c, close_frame, sizeof close_frame)) {
        c->state = CLOSING;
    }
}

static void on_close_frame(struct connection *c, const unsigned char *body, size_t size) {
    int code = size >= 2 ? body[0] << 8 | body[1] : 1005;
    if (c->state == CLOSING && code == 1000) { c->state = ENDED; return; }
    if (option.mode == HOLD && c->state == OPEN && code == option.expect) {
        unsigned char reply[] = {0x88, 0x82, 0, 0, 0, 0, (unsigned char)(code >> 8), (unsigned char)code};
        write_down(c, wall(), 0, 0, code);
        if (++closed == opened) printf("closed\n"), fflush(stdout);
        if (put(c, reply, sizeof reply)) c->state = ENDED;
        return;
    }
    count_error("closed with %d", code);
    release(c);
}

/* Take one whole frame (a server's: unmasked, small); 0 when there is none. */
static int on_frame(struct connection *c) {
    if (c->have < 2) return 0;
    size_t size = c->in[1] & 0x7f, head = 2;
    if (size == 126) {
        if (c->have < 4) return 0;
        size = (size_t)c->in[2] << 8 | c->in[3], head = 4;
    }
    if (c->in[1] & 0x80 || head + size > BUFFER) { fail(c, "bad frame"); return 0; }
    if (c->have < head + size) return 0;
    switch (c->in[0]) {
    case 0x81: on_echo(c, c->in + head, size); break;
    case 0x88: on_close_frame(c, c->in + head, size); break;
    case 0x89: { /* a keep-alive ping without a body, or with one of four bytes, is answered masked with 0 */
        unsigned char pong[6 + 125] = {0x8a, (unsigned char)(0x80 | size)};
        if (size <= 125) memcpy(pong + 6, c->in + head, size), put(c, pong, 6 + size);
        else fail(c, "bad frame");
        break;
    }
    default: fail(c, "bad frame");
    }
    if (c->state == FREE) return 0;
    consume(c, head + size);
    return 1;
}

static void on_readable(struct connection *c) {
    if (c->state == ENDED) c->have = 0;
    ssize_t n = recv(c->fd, c->in + c->have, BUFFER - c->have, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return;
        if (n == 0 && c->state == ENDED) { release(c); return; }
        const char *place = c->state == HANDSHAKE ? "handshake" : c->state == OPEN ? "open" : "closing";
        count_error("%s while %s", n ? "reset" : "end of file", place);
        release(c);
        return;
    }
    if (c->state == ENDED) return;
    c->have += (size_t)n;
    if (c->state == HANDSHAKE && !on_head(c)) return;
    while (c->state != ENDED && on_frame(c)) {}
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
    int holds = option.mode == ECHO || option.mode == IDLE || option.mode == HOLD;
    for (int i = 0; i < option.connections; i++) {
        if (holds && (*begun >= (size_t)option.connections || opening >= OPENING_AT_ONCE)) break;
        if (!holds && option.count && *begun >= option.count) return 0;
        if (option.once && next_token >= tokens) return 0;
        if (connections[i].state == FREE) {
            begin(&connections[i]);
            ++*begun;
        }
    }
    return 1;
}

static void step(int milliseconds) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, milliseconds);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state != FREE) on_readable(c);
    }
}

/* Send every message that is due, each connection in its turn; the answer is how many milliseconds to wait. */
static int send_due(double start, size_t *turn) {
    if (!option.pace) return 100;
    double apart = option.pace / 1e3 / option.connections;
    for (;; ++*turn) {
        double late = now() - (start + apart * (double)*turn);
        struct connection *c = &connections[*turn % (size_t)option.connections];
        if (late < 0) return (int)(-late * 1e3);
        if (c->state != OPEN) continue;
        if (c->waiting == MAX_DEPTH) { fail(c, "too many echoes outstanding"); continue; }
        c->late[(c->first + c->waiting) % MAX_DEPTH] = late;
        put_message(c);
    }
}

static void hold_until_input_ends(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char byte;
    size_t turn = 0;
    printf("open\n");
    fflush(stdout);
    double start = now();
    while (poll(&input, 1, 0) == 0 || (input.revents && read(0, &byte, 1) > 0)) step(send_due(start, &turn));
}

/* Run for the time given; the answer is how many seconds were counted. */
static double run(void) {
    size_t begun = 0;
    double start = now(), limit = start + option.seconds, swept = start, at;
    for (;;) {
        at = now();
        if (at >= limit) break;
        if (!begin_more(&begun) && !busy) break;
        if (option.mode == ECHO && begun == (size_t)option.connections && !busy) break;
        if (option.mode >= IDLE && begun == (size_t)option.connections && !opening) break;
        if (at - swept > 1) fail_overdue(swept = at);
        step(100);
    }
    if (option.mode >= IDLE && opening) count_error("not opened in time");
    if (option.mode >= IDLE) done = (size_t)opened, hold_until_input_ends();
    return at - start;
}

/* Let what is under way end, uncounted, so that the server is not left with torn connections. */
static void wind_down(void) {
    double limit = now() + 1;
    stopping = 1;
    for (int i = 0; (option.mode == ECHO || option.mode == HOLD) && i < option.connections; i++)
        while (connections[i].state == OPEN && connections[i].waiting && now() < limit) step(10);
    for (int i = 0; option.mode != CONNECTS && i < option.connections; i++) {
        struct connection *c = &connections[i];
        if (option.mode == HOLD && c->state == OPEN && c->waiting) count_error("no echo");
        if (c->state == OPEN && put(c, close_frame, sizeof close_frame)) c->state = CLOSING;
    }
    while (busy && now() < limit) step(10);
}

static int compare(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

static void report(size_t count, double seconds, size_t counted, double cpu) {
    qsort(sample, counted, sizeof *sample, compare);
    unsigned p50 = counted ? sample[counted / 2] : 0, p99 = counted ? sample[counted * 99 / 100] : 0;
    printf("{\"count\": %zu, \"seconds\": %.4f, \"cpu_seconds\": %.4f, \"p50_us\": %u, \"p99_us\": %u, \"errors\": {",
           count, seconds, cpu, p50, p99);
    for (int i = 0; i < MAX_KINDS && kinds[i].name[0]; i++)
        printf("%s\"%s\": %lu", i ? ", " : "", kinds[i].name, kinds[i].count);
    printf("}}\n");
}

static void write_log(void) {
    FILE *file = fopen(option.log, "w");
    if (!file || fwrite(event_log, sizeof *event_log, events_logged, file) != events_logged || fclose(file))
        die("cannot write the log");
}

static double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
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

static void make_message(void) {
    size_t size = (size_t)option.size, head = 2;
    memset(payload, 'w', size);
    message[0] = 0x81;
    message[1] = (unsigned char)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) message[2] = (unsigned char)(size >> 8), message[3] = (unsigned char)size, head = 4;
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    memcpy(message + head, mask, 4);
    for (size_t i = 0; i < size; i++) message[head + 4 + i] = payload[i] ^ mask[i % 4];
    message_size = head + 4 + size;
}

static void read_options(int argc, char **argv) {
    static const char *const modes[] = {"connects", "echo", "reject", "idle", "hold"};
    int mode = 5;
    for (int i = 0; argc > 1 && i < 5; i++)
        if (!strcmp(argv[1], modes[i])) mode = i;
    if (mode == 5) die("usage: wsload connects|echo|reject|idle|hold --port N [--path P] [--connections N] [--depth N]"
                       " [--seconds S] [--count N] [--size N] [--tokens FILE] [--skip N] [--once]"
                       " [--via header|query|none] [--expect STATUS] [--pace MS] [--log FILE]");
    option.mode = (enum mode)mode;
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i];
        if (!strcmp(name, "--once")) { option.once = 1; continue; }
        if (i + 1 == argc) die("an option lacks its value");
        const char *value = argv[++i];
        if (!strcmp(name, "--port")) option.port = atoi(value);
        else if (!strcmp(name, "--path")) option.path = value;
        else if (!strcmp(name, "--connections")) option.connections = atoi(value);
        else if (!strcmp(name, "--depth")) option.depth = atoi(value);
        else if (!strcmp(name, "--seconds")) option.seconds = atof(value);
        else if (!strcmp(name, "--count")) option.count = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--size")) option.size = atoi(value);
        else if (!strcmp(name, "--tokens")) option.tokens = value;
        else if (!strcmp(name, "--skip")) option.skip = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--via")) option.via = value;
        else if (!strcmp(name, "--expect")) option.expect = atoi(value);
        else if (!strcmp(name, "--pace")) option.pace = atoi(value);
        else if (!strcmp(name, "--log")) option.log = value;
        else die("unknown option");
    }
    if (option.port < 1 || option.port > 65535) die("--port is missing");
    if (option.connections < 1 || option.connections > MAX_CONNECTIONS) die("--connections: 1 to 18000");
    if (option.depth < 1 || option.depth > MAX_DEPTH) die("--depth: 1 to 64");
    if (option.size < 1 || option.size > MAX_MESSAGE) die("--size: 1 to 1024 bytes");
    if (!(option.seconds > 0 && option.seconds <= MAX_SECONDS)) die("--seconds: up to 600");
    if (option.pace < 0 || option.pace > 60000) die("--pace: up to 60000 milliseconds");
    if (option.mode == HOLD && !option.log) die("--log is missing");
    if (strcmp(option.via, "none") && !option.tokens) die("--tokens is missing");
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    alarm(MAX_SECONDS + 60); /* whatever goes wrong, it does not run on */
    if (option.tokens) read_tokens();
    make_message();
    connections = calloc((size_t)option.connections, sizeof *connections);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || epoll < 0) die("no memory");
    double before = cpu_seconds();
    double seconds = run();
    double cpu = cpu_seconds() - before;
    size_t count = done, counted = samples;
    wind_down();
    if (option.mode == HOLD) write_log();
    report(count, seconds, counted, cpu);
    return 0;
}
