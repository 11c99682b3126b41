/*
 * The ledger process's main thread: what it knows of itself (ledger.c), and its talk with the master
 * (words.c). Nobody else's.
 */
#ifndef LEDGER_PROCESS_H
#define LEDGER_PROCESS_H

#include "ledger/fill.h"
#include "ledger/ledger.h"
#include "ledger/pace.h"
#include "ledger/reload.h"
#include "ledger/retention.h"
#include "ledger/upkeep.h"

struct access;
struct control;
struct ledger;
struct pump;

struct process {
    const struct ledger_inherit *inherit;
    struct ledger *ledger;
    struct control *control;
    struct access *access;
    struct pump *pump;
    struct reload reload;
    struct ledger_word word; /* of the master's, to be obeyed at the next turn; kind 0: none */
    int word_fd;             /* what came with it, or -1 */
    int signal_fd, lifeline_fd;
    bool believe_locks; /* also of this master's workers: a live table without a lock is dead */
    bool master_gone, ending;
    bool leaving;      /* a successor will come: LEDGER_LEAVE */
    uint64_t leave_us; /* when it need not wait any more, once it is there */
    bool warned_full;
    unsigned idle_turns;
    struct pace pace;
    struct retention_pace retention;
    struct upkeep upkeep;
    bool dropping; /* records are being dropped: come again soon */
    struct fill_pace fill;
    bool filling; /* likewise, of totals that are being made */
    uint64_t tables_us, scan_us, audit_us; /* when next */
};

/* ---- words.c ---- */

/* To the master. Nothing happens when it is gone. */
void words_say(const struct process *process, enum ledger_word_kind kind, uint32_t generation);
/* From the master: something came over the lifeline, or its end. What it says is kept, to be obeyed. */
void words_hear(struct process *process);
/* Obeys what was heard, answers who asked something, and passes on to the master what only it can do. 0 or a
 * negative errno: the process cannot go on. */
int words_work(struct process *process);

#endif
