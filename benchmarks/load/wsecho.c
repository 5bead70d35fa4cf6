/* wsecho: the WebSocket server behind every gateway of the benchmarks, in one thread.
 *
 *   wsecho [PORT]     prints the port that it took and serves on loopback until it is killed
 *
 * The end of the request's path says what a connection is:
 *
 *   …/flood or …/flood/N   sends frames of 64 KiB (or N bytes) as long as there is room, and reads on
 *   …/sink                 reads, and answers only pings and the close frame
 *   …/deaf                 never reads a byte after the handshake
 *   any other              sends each frame back as it came: fragments as fragments, of any size, streamed
 *
 * Frames are checked (RFC 6455 section 5): mask, reserved bits, opcodes, fragments, control frames, 1 MiB a message.
 * What is wrong is answered with 1002 or 1009. A socket that takes no more is not read until it does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FILES = 65536, HEAD_LIMIT = 16384, CHUNK = 262144, MAX_MESSAGE = 1 << 20, FLOOD = 65536 };
enum { HEADER = 14, HELD = HEADER + 125 }; /* the longest header; the longest control frame */
enum kind { HEAD, ECHOES, FLOODS, SINKS, DEAF, CLOSING };
enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

struct peer {
    int fd, fragmented, opcode;
    enum kind kind;
    uint64_t left, message; /* bytes of the frame that are still to come; of the message that came before it */
    unsigned char mask[4], held[HELD];
    unsigned turned; /* bytes of the payload that were unmasked: the place in the mask */
    size_t have;     /* bytes in held (an incomplete header or control frame) or in head */
    char *head;
    unsigned char *owed; /* what the socket did not take yet */
    size_t owing, paid;
    /* FLOODS: the frame that is sent again and again, its length, and how much of it is out */
    unsigned char header[HEADER];
    size_t header_size, frame, sent;
};

static struct peer *peers[MAX_FILES];
static unsigned char in[HELD + CHUNK], out[2 * CHUNK], zeros[MAX_MESSAGE];
static size_t filled; /* bytes in out, which belong to the peer at hand */
static int epoll;

static void die(const char *text) {
    fprintf(stderr, "wsecho: %s\n", text);
    exit(2);
}

static uint32_t rotated(uint32_t x, int by) {
    return x << by | x >> (32 - by);
}

static void sha1_block(uint32_t h[5], const unsigned char *block) {
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        static const uint32_t k[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
        uint32_t next = rotated(a, 5) + f + e + k[i / 20] + w[i];
        e = d, d = c, c = rotated(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* Write the value of Sec-WebSocket-Accept for a key of 24 characters (RFC 6455 section 4.2.2): 28 characters. */
static void accept_value(const char *key, char *to) {
    unsigned char text[128] = {0}, digest[21] = {0};
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    memcpy(text, key, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    text[60] = 0x80, text[126] = 60 * 8 >> 8, text[127] = 60 * 8 & 0xff;
    sha1_block(h, text), sha1_block(h, text + 64);
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 7; i++) {
        uint32_t three = (uint32_t)digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (int j = 0; j < 4; j++) to[4 * i + j] = letters[three >> (18 - 6 * j) & 63];
    }
    to[27] = '=';
}

static void watch(struct peer *p, int change, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = p->fd};
    if (epoll_ctl(epoll, change, p->fd, &event)) die("epoll_ctl failed");
}

static void release(struct peer *p) {
    close(p->fd);
    peers[p->fd] = NULL;
    free(p->head), free(p->owed), free(p);
}

/* Send what is in `out`; keep what the socket does not take. False when the peer is gone. */
static int flush(struct peer *p) {
    ssize_t n = filled ? send(p->fd, out, filled, MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN) { release(p); return 0; }
    size_t taken = n > 0 ? (size_t)n : 0;
    if (taken < filled) {
        p->owing = filled - taken, p->paid = 0;
        if (!(p->owed = malloc(p->owing))) die("no memory");
        memcpy(p->owed, out + taken, p->owing);
        watch(p, EPOLL_CTL_MOD, EPOLLOUT);
    } else if (p->kind == CLOSING) {
        release(p);
        return 0;
    }
    return 1;
}

/* Send more of what is owed; true when the peer may go on. */
static int pay(struct peer *p) {
    ssize_t n = send(p->fd, p->owed + p->paid, p->owing - p->paid, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) { release(p); return 0; }
    if (n > 0) p->paid += (size_t)n;
    if (p->paid < p->owing) return 0;
    free(p->owed), p->owed = NULL, p->owing = p->paid = 0;
    if (p->kind == CLOSING) { release(p); return 0; }
    watch(p, EPOLL_CTL_MOD, p->kind == FLOODS ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return 1;
}

static size_t put_header(unsigned char *to, unsigned first, uint64_t size) {
    int bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
    to[0] = (unsigned char)first;
    to[1] = (unsigned char)(bytes == 0 ? size : bytes == 2 ? 126 : 127);
    for (int i = 0; i < bytes; i++) to[2 + i] = (unsigned char)(size >> 8 * (bytes - 1 - i));
    return 2 + (size_t)bytes;
}

static void put_close(struct peer *p, int code) {
    filled += put_header(out + filled, 0x80 | CLOSE, 2);
    out[filled++] = (unsigned char)(code >> 8), out[filled++] = (unsigned char)code;
    p->kind = CLOSING;
}

/* Unmask `size` bytes of payload to where they are echoed; eight at a time, since frames may be large. */
static void unmask(struct peer *p, const unsigned char *from, size_t size, unsigned char *to) {
    unsigned char turned[8];
    for (int i = 0; i < 8; i++) turned[i] = p->mask[(p->turned + i) % 4];
    uint64_t mask, word;
    memcpy(&mask, turned, 8);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= mask;
        memcpy(to + i, &word, 8);
    }
    for (; i < size; i++) to[i] = from[i] ^ turned[i % 8];
    p->turned += (unsigned)size;
}

/* Judge a header: 0, or the close code that answers it. */
static int judge(struct peer *p, unsigned first, unsigned second, uint64_t size) {
    unsigned opcode = first & 15;
    if (first & 0x70 || !(second & 0x80) || (opcode > BINARY && opcode < CLOSE) || opcode > PONG) return 1002;
    if (opcode >= CLOSE) return size > 125 || !(first & 0x80) ? 1002 : 0;
    if ((opcode == CONTINUATION) != p->fragmented) return 1002;
    return size > MAX_MESSAGE || p->message + size > MAX_MESSAGE ? 1009 : 0;
}

/* Read a header at `at`; the answer is its length, 0 when it is incomplete, and nothing more is read on CLOSING. */
static size_t read_header(struct peer *p, const unsigned char *at, size_t have) {
    if (have < 2) return 0;
    unsigned length = at[1] & 0x7f;
    size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0, whole = 2 + extra + 4;
    if (have < whole && at[1] & 0x80) return 0; /* without a mask it is wrong at once */
    uint64_t size = extra ? 0 : length;
    for (size_t i = 0; i < extra; i++) size = size << 8 | at[2 + i];
    int code = judge(p, at[0], at[1], size);
    if (code) { put_close(p, code); return whole; }
    p->opcode = at[0] & 15, p->left = size, p->turned = 0;
    memcpy(p->mask, at + 2 + extra, 4);
    if (p->opcode < CLOSE) {
        p->message = at[0] & 0x80 ? 0 : p->message + size;
        p->fragmented = !(at[0] & 0x80);
        if (p->kind == ECHOES) filled += put_header(out + filled, at[0], size);
    }
    return whole;
}

/* Answer a control frame whose payload is whole. */
static void answer_control(struct peer *p, const unsigned char *payload, size_t size) {
    if (p->opcode == PONG) return;
    filled += put_header(out + filled, 0x80 | (p->opcode == PING ? PONG : CLOSE), size);
    unmask(p, payload, size, out + filled);
    filled += size;
    if (p->opcode == CLOSE) p->kind = CLOSING;
}

/* Follow the frames of a chunk into `out`; what is left is the beginning of a header or of a control frame. */
static size_t follow(struct peer *p, const unsigned char *from, size_t have) {
    size_t at = 0;
    while (p->kind != CLOSING && at < have) {
        if (!p->left) {
            size_t header = read_header(p, from + at, have - at);
            if (!header) break;
            if (p->kind != CLOSING && p->opcode >= CLOSE) {
                size_t size = (size_t)p->left;
                p->left = 0;
                if (have - at < header + size) break;
                answer_control(p, from + at + header, size);
                header += size;
            }
            at += header;
            continue;
        }
        size_t now = have - at < p->left ? have - at : (size_t)p->left;
        if (p->kind == ECHOES) unmask(p, from + at, now, out + filled), filled += now;
        p->left -= now, at += now;
    }
    return p->kind == CLOSING ? have : at;
}

static int is_key(const char *line) {
    return !strncasecmp(line, "sec-websocket-key:", 18);
}

/* Find out from the path what the connection is. */
static void begin(struct peer *p, const char *path, size_t size) {
    char text[256] = {0};
    memcpy(text, path, size < sizeof text ? size : sizeof text - 1);
    text[strcspn(text, " ?")] = 0;
    char *word = strstr(text, "/flood"), *end = strrchr(text, '/');
    if (word) {
        size_t length = word[6] == '/' ? strtoul(word + 7, NULL, 10) : FLOOD;
        if (length < 1 || length > MAX_MESSAGE) length = FLOOD;
        p->kind = FLOODS, p->header_size = put_header(p->header, 0x80 | BINARY, length);
        p->frame = p->header_size + length;
    } else {
        p->kind = end && !strcmp(end, "/sink") ? SINKS : end && !strcmp(end, "/deaf") ? DEAF : ECHOES;
    }
}

/* Answer the handshake, once its head is whole. */
static void read_head(struct peer *p, size_t got) {
    if (!p->head && !(p->head = malloc(HEAD_LIMIT))) die("no memory");
    if (p->have + got >= HEAD_LIMIT) { release(p); return; }
    memcpy(p->head + p->have, in, got);
    p->head[p->have += got] = 0;
    char *end = strstr(p->head, "\r\n\r\n"), *key = NULL;
    if (!end) return;
    for (char *line = strstr(p->head, "\r\n"); line < end && !key; line = strstr(line + 2, "\r\n"))
        if (is_key(line + 2)) key = line + 2 + 18;
    char *path = strchr(p->head, ' ');
    if (key) key += strspn(key, " \t");
    if (!key || !path || strcspn(key, "\r \t") != 24) { release(p); return; }
    char accept[29] = {0};
    accept_value(key, accept);
    begin(p, path + 1, strcspn(path + 1, "\r"));
    filled = (size_t)sprintf((char *)out,
                             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    size_t rest = p->have - (size_t)(end + 4 - p->head);
    memcpy(in, end + 4, rest);
    free(p->head), p->head = NULL, p->have = 0;
    if (p->kind == DEAF) { if (flush(p)) watch(p, EPOLL_CTL_MOD, 0); return; }
    size_t used = follow(p, in, rest);
    memcpy(p->held, in + used, p->have = rest - used);
    if (flush(p) && !p->owed && p->kind == FLOODS) watch(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

/* Send frames until the socket takes no more, or a few: the others wait. False when the peer is gone. */
static int send_flood(struct peer *p) {
    for (int i = 0; i < 16; i++) {
        int begun = p->sent >= p->header_size;
        struct iovec pieces[] = {{p->header + p->sent, p->header_size - p->sent}, {zeros, p->frame - p->header_size}};
        struct iovec rest = {zeros, p->frame - p->sent};
        struct msghdr message = {.msg_iov = begun ? &rest : pieces, .msg_iovlen = begun ? 1 : 2};
        ssize_t n = sendmsg(p->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return 1;
        if (n < 0) { release(p); return 0; }
        p->sent = (p->sent + (size_t)n) % p->frame;
    }
    return 1;
}

static void on_readable(struct peer *p) {
    filled = 0;
    if (p->kind == HEAD) {
        ssize_t n = recv(p->fd, in, CHUNK, 0);
        if (n > 0) read_head(p, (size_t)n);
        else if (n == 0 || errno != EAGAIN) release(p);
        return;
    }
    memcpy(in, p->held, p->have);
    ssize_t n = recv(p->fd, in + p->have, CHUNK, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) release(p);
        return;
    }
    size_t have = p->have + (size_t)n, used = follow(p, in, have);
    memcpy(p->held, in + used, p->have = have - used);
    if (p->sent) filled = 0; /* in the middle of a flood's frame nothing else can be said */
    if (filled || p->kind == CLOSING) flush(p);
}

static void on_event(struct peer *p, uint32_t events) {
    if (events & (EPOLLERR | EPOLLHUP)) { release(p); return; }
    if (p->owed) { pay(p); return; }
    if (events & EPOLLOUT && p->kind == FLOODS && !send_flood(p)) return;
    if (events & EPOLLIN) on_readable(p);
}

static void welcome(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN) return;
        if (fd < 0 || fd >= MAX_FILES || !(peers[fd] = calloc(1, sizeof *peers[fd]))) die("no file for a connection");
        peers[fd]->fd = fd;
        watch(peers[fd], EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int listening(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    socklen_t size = sizeof at;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets have it from here */
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096)) die("cannot listen");
    if (getsockname(fd, (struct sockaddr *)&at, &size)) die("cannot listen");
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) die("no epoll");
    int listener = listening(argc > 1 ? atoi(argv[1]) : 0);
    struct epoll_event all[256], event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) die("epoll_ctl failed");
    for (;;) {
        int n = epoll_wait(epoll, all, 256, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = peers[all[i].data.fd];
            if (all[i].data.fd == listener) welcome(listener);
            else if (p) on_event(p, all[i].events);
        }
    }
}
