/* What the load generator has seen: errors by kind, latencies, events with their times, and the report. */
#ifndef TALLY_H
#define TALLY_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_KINDS = 32 };
static const size_t MAX_SAMPLES = 16000000;

/* What `hold` writes down: an echo (code 0, `at` is when its message was sent) or a close frame (its code). */
struct event {
    double at;      /* seconds since the epoch */
    double latency; /* seconds from sending to the echo */
    double late;    /* seconds by which the message was sent too late */
    int connection, code;
};

static struct { char name[40]; unsigned long count; } kinds[MAX_KINDS];
static size_t samples, sample_room, done; /* `done`: operations, or bytes where those are counted */
static unsigned *sample;                  /* latencies in microseconds */
static struct event *event_log;
static size_t events_logged, event_room;

static void die(const char *text) {
    fprintf(stderr, "wsload: %s\n", text);
    exit(2);
}

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

static double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
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

static void write_down(double at, double latency, double late, int connection, int code) {
    if (events_logged == event_room) {
        if (event_room >= MAX_SAMPLES) die("too many events");
        event_room = event_room ? event_room * 2 : 65536;
        if (!(event_log = realloc(event_log, event_room * sizeof *event_log))) die("no memory for events");
    }
    event_log[events_logged++] = (struct event){at, latency, late, connection, code};
}

static void write_log(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file || fwrite(event_log, sizeof *event_log, events_logged, file) != events_logged || fclose(file))
        die("cannot write the log");
}

static int compare(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

/* Print one line of JSON. */
static void report(size_t count, double seconds, size_t counted, double cpu) {
    qsort(sample, counted, sizeof *sample, compare);
    unsigned p50 = counted ? sample[counted / 2] : 0, p99 = counted ? sample[counted * 99 / 100] : 0;
    printf("{\"count\": %zu, \"seconds\": %.4f, \"cpu_seconds\": %.4f, \"p50_us\": %u, \"p99_us\": %u, \"errors\": {",
           count, seconds, cpu, p50, p99);
    for (int i = 0; i < MAX_KINDS && kinds[i].name[0]; i++)
        printf("%s\"%s\": %lu", i ? ", " : "", kinds[i].name, kinds[i].count);
    printf("}}\n");
}

#endif
