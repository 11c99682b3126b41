/* turnpike tail: calls as they end, a line each, until it is interrupted. */
#ifndef CLI_TAIL_H
#define CLI_TAIL_H

#include "cli/table.h"

enum cli_exit tail_run(const struct cli_local *local);

/* A row of `call.tail` as a line for people: on a terminal of so many columns, or 0 for uncut; tail_line.c. */
void tail_line(struct js_value call, unsigned columns);
void tail_head(unsigned columns);

#endif
