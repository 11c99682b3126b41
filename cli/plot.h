/* turnpike plot: a series of the rollups, drawn on the terminal, as a picture, or as JSON. */
#ifndef CLI_PLOT_H
#define CLI_PLOT_H

#include "cli/table.h"

enum cli_exit plot_run(const struct cli_local *local);

#endif
