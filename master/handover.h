/*
 * What a master leaves to the program that takes its place by exec (master/upgrade.h): the process stays,
 * its children stay its children, and descriptors keep their numbers. Words and numbers go as JSON in a
 * file in memory whose descriptor is named in the environment:
 *
 *     TURNPIKE_UPGRADE=check:FD   say whether you could take over, and do nothing (master/successor.h)
 *     TURNPIKE_UPGRADE=take:FD    take over
 *     TURNPIKE_UPGRADE=back:FD:N  take over again: your successor failed, or signal N ended it
 *
 * Members that a reader does not know it leaves alone; what must be understood raises HANDOVER_PROTOCOL.
 * The file has the secret of TLS tickets, so it is never a file that has a name.
 */
#ifndef MASTER_HANDOVER_H
#define MASTER_HANDOVER_H

#include <sys/types.h>

#include "base/base.h"
#include "master/options.h"
#include "shm/layout.h"

#define HANDOVER_PROTOCOL 1u
#define HANDOVER_ENV "TURNPIKE_UPGRADE"

struct master;

enum handover_mode { HANDOVER_NONE = 0, HANDOVER_CHECK, HANDOVER_TAKE, HANDOVER_BACK, HANDOVER_MODE_COUNT };

struct handover_worker {
    pid_t pid;
    int lifeline_fd;
    uint32_t table_idx, number;
    bool serving;  /* has said that it does */
    bool drains;   /* was told to */
    bool killed;   /* for overstaying */
    uint64_t kill_us; /* monotonic, as the clock of both; 0 none */
    uint32_t stop_ms, reload_ms;
};

#define HANDOVER_WORKERS_MAX (2 * OPTIONS_WORKERS_MAX + REGION_TABLES_MAX)

struct handover {
    enum handover_mode mode;
    int file_fd;        /* what it was read from */
    unsigned by_signal; /* HANDOVER_BACK: what ended the successor; 0 nothing did */
    char version[64];   /* whose words these are */
    char program[4096]; /* what to run at the next upgrade */
    uint32_t layout, schema; /* of its memory file and store */
    bool rebuild; /* everything is committed and the memory file is gone: make a new one */
    int program_fd; /* who hands over, to go back to; -1: nobody */
    int lock_fd, control_fd, region_fd, ledger_wake_fd;
    int manage_fd; /* where workers ask the manage process; -1: a version that has none */
    int asker_fd; /* a terminal that waits for how it ends, or -1 */
    int worker_wake_fd[REGION_TABLES_MAX];
    unsigned worker_count;
    struct options_listen listen[OPTIONS_LISTEN_MAX];
    char address[OPTIONS_LISTEN_MAX][128];
    int listen_fd[OPTIONS_WORKERS_MAX][OPTIONS_LISTEN_MAX];
    unsigned listen_count;
    uint8_t ticket_secret[32];
    pid_t ledger_pid; /* it goes when another wants its place */
    uint32_t generation_last;
    int64_t started_wall_us; /* of the server, by whichever version */
    bool reload_wanted; /* SIGHUP came meanwhile */
    struct handover_worker worker[HANDOVER_WORKERS_MAX];
    unsigned worker_child_count;
    /* Upstreams' credentials whose secrets are known: "upstream" or "upstream/credential". */
    char *secrets;         /* NUL after each; owned */
    size_t secrets_bytes;
    char why[512], hint[256]; /* HANDOVER_BACK: why the successor did not stay */
    unsigned exit;
};

/*
 * Whether this process is to take over. HANDOVER_NONE: it was started as any other. False: it was,
 * and why says what cannot be understood; then out->mode is known, and file_fd and program_fd are if they
 * could be read.
 */
bool handover_read(struct handover *out, const char **why) MUST_CHECK;
void handover_free(struct handover *handover);

/*
 * Writes what the next program needs: a descriptor of the file, or a negative errno. program_fd: see
 * struct handover. why, hint and exit: of a successor that goes; else NULL, NULL, 0.
 */
struct handover_words {
    int program_fd, region_fd;
    bool rebuild;
    const char *why, *hint;
    unsigned exit;
};
int handover_write(const struct master *master, const struct handover_words *words) MUST_CHECK;

/* All descriptors that are handed over, and no others, are kept over an exec; or none is. */
void handover_keep_fds(const struct master *master, const struct handover_words *words, bool keep);
/* As handover_keep_fds(), of what was read: from a signal handler, too. */
void handover_fds_over_exec(const struct handover *handover, bool keep);

/*
 * Runs a program in this process's place, with the command line that serve was started with. Returns only
 * when it cannot: a negative errno.
 */
int handover_exec(int program_fd, const char *mode, int file_fd);

/* For the command line of serve, and where its program lies: before anything else. */
void handover_remember(char **argv);
char **handover_argv(void);
const char *handover_program(void); /* absolute, not resolved further: links are followed anew */
void handover_program_is(const char *path);

/* Where tests stop or end a process (compiled in for them alone). */
#ifdef UPGRADE_TEST_POINTS
void handover_test_point(const char *name);
#else
static inline void
handover_test_point(const char *name)
{
    (void)name;
}
#endif

#endif
