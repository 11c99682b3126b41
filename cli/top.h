/* turnpike top: what a running server does, on a live screen or once. */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include "cli/table.h"

enum cli_exit top_run(const struct cli_local *local);

#endif
