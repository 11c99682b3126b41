/*
 * Work in a process of its own. Where no server runs, who works on the store takes the rights of its owner and
 * cannot get back; who made the output file keeps his, waits, and names the file or throws it away,
 * whatever becomes of the work: a signal, too, is heard here.
 */
#ifndef CLI_APART_H
#define CLI_APART_H

#include "base/base.h"
#include "cli/cli.h"

#define APART_SAID_MAX 16384

struct apart_said { /* by the work, to who waits for it */
    size_t len;
    char text[APART_SAID_MAX];
};

struct apart {
    enum cli_exit (*work)(void *arg, struct apart_said *said);
    void *arg;
    struct apart_said *said; /* afterwards, in memory of both; apart_end() */
    int signal; /* afterwards: what told us to end, or 0; apart_end() then obeys it */
};

/* The work's exit status; CLI_FAILED, said, when it died. noun: for messages. */
enum cli_exit apart_run(struct apart *apart, const char *noun);
void apart_say(struct apart_said *said, struct str text);
/* Frees, and ends the program when a signal said so. */
void apart_end(struct apart *apart);

#endif
