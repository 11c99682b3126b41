/* `turnpike serve`: from options to exit status; and the parts of a start that an upgrade has in common
 * with it. */
#ifndef MASTER_SERVE_H
#define MASTER_SERVE_H

#include "base/base.h"

struct master;

int serve_main(int argc, char **argv);

/* 0, or an exit status after having said why. */
int serve_load_certificates(struct master *master) MUST_CHECK;
/* Signals come by master->signal_fd from now on. 0, or -1 with errno. */
int serve_take_signals(struct master *master) MUST_CHECK;
/* Secrets live in this process: no core files, no reading of its memory by others. */
void serve_harden(void);
/* The memory file is this master's, and a new generation of workers in charge. */
void serve_mark_header(struct master *master);
/* Another memory file in the place of the one that is mapped, which is gone. 0 or an exit status. */
int serve_region_anew(struct master *master) MUST_CHECK;

#endif
