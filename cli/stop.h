/* turnpike stop: tells the master to end, and waits until it has. */
#ifndef CLI_STOP_H
#define CLI_STOP_H

#include "cli/table.h"

enum cli_exit stop_run(const struct cli_local *local);

#endif
