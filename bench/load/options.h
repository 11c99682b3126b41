/* What the command line asks for. */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mode { MODE_CALL = 0, MODE_STREAM, MODE_HOLD, MODE_TLS, MODE_COUNT };
extern const char *const mode_name[MODE_COUNT];

struct options {
    enum mode mode;
    struct sockaddr_in to;
    const char *host; /* of "to", in text */
    const char *path, *key, *model;
    uint32_t keys; /* 0: all calls show the one */
    const char *body; /* NULL: one is made */
    const char *sim;  /* member "sim" of a body that is made, or NULL */
    const char *headers[16];
    size_t header_count;
    uint64_t connections;
    uint64_t calls; /* 0: until seconds are over */
    uint64_t body_bytes;
    double seconds, warmup;
    double rate; /* a second; 0: as fast as answers come */
    bool json, get, tls, ready;
};
extern struct options opt;

#define KEY_DIGITS 10u /* of --key, at its end, that --keys draws */

/* false: they are wrong; how they go was said on standard error. */
bool options_read(int argc, char **argv);

/* Ends the program with what, and errno's text. */
_Noreturn void fail(const char *what);

#endif
