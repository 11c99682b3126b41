/*
 * An upgrade: the program file, replaced on the disk, takes the place of the one that runs, in the same
 * process. This is the part of who is replaced; his successor's is master/successor.h.
 *
 *     CHECK    the new program runs as a child of ours and says whether it could take over: its command
 *              line, routes.conf, the memory file, the store's schema (HANDOVER_CHECK)
 *     exec     it takes our place, with our descriptors and children; the ledger process goes when the new
 *              one's wants its place, workers serve until the new ones do
 *
 * When the new program's memory file or store is another than ours:
 *
 *     DRAIN    workers finish their calls and go; who connects waits in the listening sockets' queues
 *     COMMIT   the ledger process commits all, and goes; the memory file is empty, and removed
 *     exec     as above; all is made anew from the store
 *
 * A check that fails changes nothing. A successor that fails after the exec runs us again by the
 * descriptor that he has of us (HANDOVER_BACK). Who asked waits at a socket of its own, which goes from
 * hand to hand, so that whoever ends it can say how.
 *
 * As a reload it allocates; a failure there is an upgrade's failure.
 */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include <sys/types.h>

#include "base/base.h"
#include "cli/cli.h"

struct master;

enum upgrade_state {
    UPGRADE_NONE = 0,
    UPGRADE_CHECK,
    UPGRADE_DRAIN,
    UPGRADE_COMMIT,
    UPGRADE_STATE_COUNT
};

struct upgrade {
    enum upgrade_state state;
    bool wanted;       /* to begin as soon as it can */
    bool wait_told;    /* the log says that it cannot yet */
    int asker_fd;      /* a terminal that waits, or -1 */
    int program_fd;    /* of the new program */
    int said_fd, complained_fd; /* what its check writes: files in memory */
    pid_t checker;     /* 0: it is over */
    int check_status;  /* as waitpid() has it */
    bool check_killed; /* for taking too long */
    uint64_t give_up_us;
    char version[64];  /* that it says it is */
    bool rebuild;
    pid_t told_to_end; /* a ledger process */
};

/* What became of it, for the log and for who asked. */
struct upgrade_outcome {
    enum cli_exit status;
    const char *why, *hint; /* NULL when it is done */
    const char *from, *to;  /* versions; NULL: not known */
    const char *said;       /* what the new program complained of, as it wrote it, or NULL */
    unsigned started, draining;
};

void upgrade_init(struct upgrade *upgrade);
void upgrade_signalled(struct master *master); /* SIGUSR2 */
void upgrade_asked(struct master *master, int asker_fd); /* takes the descriptor over */
/* True when it was the check. */
bool upgrade_child_ended(struct master *master, pid_t pid, int status);
/* Goes on with what is under way. */
void upgrade_turn(struct master *master);
uint64_t upgrade_due_us(const struct master *master); /* monotonic; UINT64_MAX: nothing is */
/* The server stops: there is no upgrade any more. */
void upgrade_stop(struct master *master);
/* Workers are not to be started now. */
bool upgrade_pauses(const struct master *master);
/* Tells who asked, if anybody did, and closes that socket. */
void upgrade_answer(struct master *master, const struct upgrade_outcome *outcome);

#endif
